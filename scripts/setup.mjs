// Makes a fresh or outdated checkout ready: installs, then builds. It runs on the machine's own Node (20 or newer), so
// it is plain JavaScript and uses only modules of Node. The scripts after it run on the pinned Node.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const lock = join(root, 'dist/.setup-lock')
const pinnedNode = join(root, 'node_modules/node/bin/node')

const modified = (path) => (existsSync(join(root, path)) ? statSync(join(root, path)).mtimeMs : 0)

/** Returns the modification time of the newest file below the given places. */
function newest(paths) {
  let time = 0
  for (const path of paths) {
    if (!existsSync(join(root, path))) continue
    time = Math.max(time, modified(path))
    if (!statSync(join(root, path)).isDirectory()) continue
    time = Math.max(time, newest(readdirSync(join(root, path)).map((name) => join(path, name))))
  }
  return time
}

// npm writes node_modules/.package-lock.json at the end of an install that succeeded.
const mustInstall = () =>
  !existsSync(pinnedNode) || modified('node_modules/.package-lock.json') < modified('package-lock.json')
const mustBuild = () =>
  modified('dist/cli.cjs') <
  newest(['src', 'web', 'scripts/build.ts', 'scripts/build-web.ts', 'package-lock.json', 'tsconfig.json'])

function step(what, program, args) {
  const startMs = Date.now()
  process.stderr.write(`${what} ... `)
  const done = spawnSync(program, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  if (done.status === 0)
    return process.stderr.write(`done in ${((Date.now() - startMs) / 1000).toFixed(1)} s\n`)
  process.stderr.write(`failed\n${done.stdout ?? ''}${done.stderr ?? ''}`)
  const why = done.error?.message ?? (done.signal ? `killed by ${done.signal}` : `exit code ${done.status}`)
  throw new Error(`"${[program, ...args].join(' ')}" in ${root}: ${why}`)
}

const alive = (pid) => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** Takes the lock. Waits for another set-up of this checkout, and takes over the lock of one that died. */
async function takeLock() {
  mkdirSync(join(root, 'dist'), { recursive: true })
  for (;;) {
    try {
      mkdirSync(lock)
      return writeFileSync(join(lock, 'pid'), String(process.pid))
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    let holder = 0
    try {
      holder = Number(readFileSync(join(lock, 'pid'), 'utf8'))
    } catch {
      // Another process is just taking it, unless this lasts.
      holder = Date.now() - modified('dist/.setup-lock') < 5000 ? process.pid : 0
    }
    if (holder === 0 || !alive(holder)) rmSync(lock, { recursive: true, force: true })
    else await sleep(100)
  }
}

if (mustInstall() || mustBuild()) {
  await takeLock()
  try {
    // Not `npm ci`, which would download all packages again if one has changed.
    const quiet = ['--no-audit', '--no-fund', '--loglevel=error']
    if (mustInstall()) step('Installing packages', 'npm', ['install', '--no-save', ...quiet])
    if (!existsSync(pinnedNode)) {
      throw new Error(
        `${pinnedNode} is missing after the install: were install scripts switched off (ignore-scripts)?`,
      )
    }
    if (mustBuild()) step('Building', pinnedNode, ['scripts/build.ts'])
  } catch (error) {
    process.stderr.write(`error: ${error.message}\n`)
    process.exitCode = 1
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}
