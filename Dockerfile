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
COPY package.json LICENSE ./
COPY prisma ./prisma
# All the code there is; the embedded Postgres is not in it, because a container has DATABASE_URL.
COPY --from=build /app/dist ./dist
# What is root's the service cannot change, and it writes no file of its own.
USER node
EXPOSE 8080
# Alive, not ready: an API or a database that is away is no reason to restart the service. The slim image has no curl.
HEALTHCHECK --interval=15s --timeout=5s --start-period=15s CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.HTTP_PORT || 8080}/healthz`).then((response) => process.exit(response.ok ? 0 : 1), () => process.exit(1))"]
# Node itself is process 1 and gets SIGTERM; npm or a shell would stand in between.
CMD ["node", "dist/cli.js", "start"]
