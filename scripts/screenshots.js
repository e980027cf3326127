// `npm run screenshots`: the pictures of README.md, taken from the dashboard of the demo. Needs Chromium (CHROMIUM_PATH).
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = `${root}docs/images`
const executablePath = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium'
const size = { width: 1200, height: 900 }

/** Starts the demo and returns its process and the address of its dashboard once a few runs have ended. */
async function startDemo() {
  const demo = spawn(process.execPath, [`${root}dist/cli.js`, 'demo'], {
    // A new folder: the demo goes on with the data that it finds.
    cwd: await mkdtemp(`${tmpdir()}/spidra-sync-screenshots-`),
    env: { ...process.env, HTTP_PORT: '8089' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  await new Promise((resolve, reject) => {
    demo.on('exit', (code) => reject(new Error(`The demo ended with ${code}:\n${output}`)))
    demo.stdout.setEncoding('utf8').on('data', (text) => {
      output += text
      if (output.match(/^\d\d:\d\d:\d\d complete/gm)?.length >= 4) resolve()
    })
  })
  demo.removeAllListeners('exit')
  return { demo, url: 'http://127.0.0.1:8089/' }
}

await mkdir(folder, { recursive: true })
const { demo, url } = await startDemo()
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-background-networking'] })
try {
  for (const colorScheme of ['light', 'dark']) {
    const page = await browser.newPage({ viewport: size, colorScheme })
    await page.goto(url, { waitUntil: 'networkidle' })
    const path = `${folder}/dashboard-${colorScheme}.png`
    await page.screenshot({ path })
    process.stdout.write(`docs/images/dashboard-${colorScheme}.png, ${Math.round((await stat(path)).size / 1024)} kB\n`)
  }
} finally {
  await browser.close()
  demo.kill('SIGINT')
}
