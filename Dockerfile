FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# Without optional packages, because a container has DATABASE_URL and needs no embedded Postgres; npm counts the Prisma CLI
# among them, too. What Node never loads is two thirds of the rest: source maps, types, ECharts for browsers, and Prisma's
# query compilers for other databases.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
  && find node_modules -name '*.map' -delete -o -name '*.d.[mc]ts' -delete -o -name '*.d.ts' -delete \
  && find node_modules/@prisma/client/runtime -name 'query_compiler_*' ! -name '*small_bg.postgresql*' -delete \
  && rm -r node_modules/echarts/dist

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# No scripts: `prepare` would build, and the sources are not there yet, so that a change to them keeps this layer.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN npm run build

FROM node:24-bookworm-slim
ENV NODE_ENV=production HTTP_HOST=0.0.0.0
WORKDIR /app
# What changes most is copied last.
COPY --from=packages /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY prisma ./prisma
COPY --from=build /app/dist ./dist
# The files belong to root, so the service cannot change them; it writes no file of its own. One start without a database fills the
# cache of compiled code, which saves each later one a fifth of its time. Node keeps one for each user.
ENV NODE_COMPILE_CACHE=/app/.compile-cache
RUN mkdir .compile-cache && chown node .compile-cache
USER node
RUN SPIDRA_API_KEY=none DATABASE_URL=postgresql://127.0.0.1:9/none timeout 10 node dist/cli.js start >/dev/null || true
EXPOSE 8080
# Alive, not ready: an API or a database that is away is no reason to restart the service. The slim image has no curl.
HEALTHCHECK --interval=15s --timeout=5s --start-period=15s CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.HTTP_PORT || 8080}/healthz`).then((response) => process.exit(response.ok ? 0 : 1), () => process.exit(1))"]
# Node itself is process 1 and gets SIGTERM; npm or a shell would stand in between.
CMD ["node", "dist/cli.js", "start"]
