import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { commands } from '../../src/cli/commands.ts'
import { largeCommands } from '../../src/cli/startup/large-commands.ts'
import { eventually } from '../support/errand-command.ts'
import { processesOf } from '../support/programs.ts'

const bin = join(import.meta.dirname, '../../bin')

/** Creates an installed Errand whose pinned node is a script that prints how it was called. */
function installed(t: TestContext, options: { pinned?: string; needed?: number } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'errand-launcher-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const root = join(folder, 'lib/node_modules/errand')
  mkdirSync(join(root, 'bin'), { recursive: true })
  const text = readFileSync(join(bin, 'errand'), 'utf8')
  writeFileSync(join(root, 'bin/errand'), text.replace('NEEDED = 24', `NEEDED = ${options.needed ?? 24}`))
  chmodSync(join(root, 'bin/errand'), 0o755)
  copyFileSync(join(bin, 'package.json'), join(root, 'bin/package.json'))
  const put = (path: string, content: string, mode = 0o644): string => {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), content)
    chmodSync(join(folder, path), mode)
    return join(folder, path)
  }
  put('lib/node_modules/errand/dist/cli.cjs', 'console.log(["built", ...process.argv.slice(2)].join(" "))')
  if (options.pinned !== undefined) put(options.pinned, '#!/bin/sh\necho "pinned $@"\n', 0o755)
  return { folder, root, put }
}
const ownNode = 'lib/node_modules/errand/node_modules/node/bin/node'

function call(
  program: string,
  args: string[] = [],
  env: NodeJS.ProcessEnv = { PATH: process.env.PATH },
  cwd?: string,
) {
  const { stdout, stderr, status } = spawnSync(program, args, { env, cwd, encoding: 'utf8' })
  return { stdout: stdout.trim(), stderr, status }
}

test('an installed errand runs its build on the pinned node, with its arguments unchanged', (t) => {
  const { root } = installed(t, { pinned: ownNode })
  assert.equal(
    call(join(root, 'bin/errand'), ['run', 'a  b', '*']).stdout,
    `pinned -- ${root}/bin/../dist/cli.cjs run a  b *`,
  )
})

test('it finds a node that npm put beside it', (t) => {
  const { root } = installed(t, { pinned: 'lib/node_modules/node/bin/node' })
  assert.match(call(join(root, 'bin/errand')).stdout, /^pinned /)
})

test('it is found through the links that npm makes', (t) => {
  const { folder } = installed(t, { pinned: ownNode })
  mkdirSync(join(folder, 'bin'))
  mkdirSync(join(folder, 'lib/node_modules/.bin'))
  symlinkSync('../lib/node_modules/errand/bin/errand', join(folder, 'bin/errand'))
  symlinkSync('../errand/bin/errand', join(folder, 'lib/node_modules/.bin/errand'))
  for (const link of ['bin/errand', 'lib/node_modules/.bin/errand']) {
    assert.match(call(join(folder, link), ['x']).stdout, /^pinned .*dist\/cli\.cjs x$/, link)
    assert.match(call(`./${link}`, ['x'], undefined, folder).stdout, /^pinned .*dist\/cli\.cjs x$/, link)
  }
})

test('beside its source, it runs the build only while no source file is newer', (t) => {
  const { root, put } = installed(t, { pinned: ownNode })
  put('lib/node_modules/errand/src/cli/render/x.ts', '')
  put('lib/node_modules/errand/src/cli/main.ts', '')
  const at = (path: string, seconds: number) => utimesSync(join(root, path), seconds, seconds)
  const source = ['src/cli/main.ts', 'src/cli/render/x.ts', 'src/cli/render', 'src/cli', 'src']
  for (const path of source) at(path, 1000)
  at('dist/cli.cjs', 2000)
  assert.match(call(join(root, 'bin/errand')).stdout, /dist\/cli\.cjs$/)
  for (const path of source) {
    at(path, 3000)
    assert.match(call(join(root, 'bin/errand')).stdout, /src\/cli\/main\.ts$/, path)
    at(path, 1000)
  }
  // A test is not part of the build.
  put('lib/node_modules/errand/src/cli/render/x.test.ts', '')
  at('src/cli/render', 1000)
  assert.match(call(join(root, 'bin/errand')).stdout, /dist\/cli\.cjs$/)
  rmSync(join(root, 'dist'), { recursive: true })
  assert.match(call(join(root, 'bin/errand')).stdout, /src\/cli\/main\.ts$/)
})

test('the build finds every command, and those that use a hub load a quarter of the code', () => {
  const dist = join(bin, '../dist')
  for (const name of Object.keys(commands)) {
    const { stdout, stderr, status } = call(process.execPath, [join(dist, 'cli.cjs'), name, '--help'])
    assert.equal(status, 0, `${name}: ${stderr}`)
    assert.match(stdout, new RegExp(`errand ${name}`), name)
  }
  for (const words of [
    ['help', 'up'],
    ['help', 'runs'],
    ['--help'],
    ['--version'],
    ['runs', 'list', '--help'],
  ])
    assert.equal(call(process.execPath, [join(dist, 'cli.cjs'), ...words]).status, 0, words.join(' '))
  assert.ok(largeCommands.every((name) => Object.hasOwn(commands, name)))
  const size = (name: string) => statSync(join(dist, name)).size
  assert.ok(size('main-client.cjs') * 4 < size('main-all.cjs'), `${size('main-client.cjs')} bytes`)
  // A hub sends mail; a runner reads playbooks and speaks to forges.
  for (const [name, times] of [['main-hub.cjs', 1.7] as const, ['main-runner.cjs', 1.5] as const])
    assert.ok(size(name) * times < size('main-all.cjs'), `${name} has ${size(name)} bytes`)
})

test('the build reports output that it could not write at its end', (t) => {
  const full = openSync('/dev/full', 'w')
  t.after(() => closeSync(full))
  const args = [join(bin, '../dist/cli.cjs'), 'run', '--help']
  const { status, stderr } = spawnSync(process.execPath, args, {
    stdio: ['ignore', full, 'pipe'],
    encoding: 'utf8',
  })
  assert.equal(status, 1)
  assert.match(stderr, /ENOSPC/)
})

test("each program's text is ASCII, so that it takes one byte per character in memory", () => {
  const dist = join(bin, '../dist')
  const programs = readdirSync(dist).filter((name) => name.endsWith('.cjs'))
  assert.ok(programs.includes('main-client.cjs') && programs.includes('main-all.cjs'))
  for (const name of programs)
    assert.equal(/[^\0-\x7f]/.exec(readFileSync(join(dist, name), 'utf8'))?.[0], undefined, name)
})

test("none of Errand's options is mistaken for one of Node", (t) => {
  const { root } = installed(t)
  const env = { PATH: `${dirname(process.execPath)}:${process.env.PATH}` }
  const { stdout, status } = call(join(root, 'bin/errand'), ['run', '--env-file', '/no/such/file'], env)
  assert.deepEqual([stdout, status], ['built run --env-file /no/such/file', 0])
})

test('without a pinned node it uses one on the path that is new enough', (t) => {
  const { root } = installed(t)
  const env = { PATH: `${dirname(process.execPath)}:${process.env.PATH}` }
  assert.equal(call(join(root, 'bin/errand'), ['a', 'b'], env).stdout, 'built a b')
})

test('started by a node that is too old, it continues with the pinned one, and passes on its exit code', (t) => {
  const { root, put } = installed(t, { pinned: ownNode, needed: 99 })
  assert.equal(
    call(process.execPath, [join(root, 'bin/errand'), 'x']).stdout,
    `pinned -- ${root}/bin/errand x`,
  )
  put(ownNode, '#!/bin/sh\nexit 7\n', 0o755)
  assert.equal(call(join(root, 'bin/errand')).status, 7)
  assert.equal(call(process.execPath, [join(root, 'bin/errand')]).status, 7)
})

test('started by a node that is too old, it ends as by SIGTERM when the pinned one is killed, and not before', async (t) => {
  const { folder, root, put } = installed(t, { needed: 99 })
  mkdirSync(dirname(join(folder, ownNode)), { recursive: true })
  symlinkSync(process.execPath, join(folder, ownNode))
  put(
    'lib/node_modules/errand/dist/cli.cjs',
    `const { spawnSync } = require('node:child_process')
     process.on('SIGTERM', () => { console.log('told to end'); process.exit() })
     const command = 'readlink /proc/$$/fd/3; echo "<$ERRAND_LAUNCHER_PIPE>"'
     console.log(spawnSync('sh', ['-c', command]).stdout.toString().trim(), process.argv.slice(1).join(' '))
     setInterval(() => console.log('at it'), 100)`,
  )
  const launcher = spawn(process.execPath, [join(root, 'bin/errand'), 'x'], {
    env: { PATH: process.env.PATH, HOME: folder },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => launcher.kill('SIGKILL'))
  let printed = ''
  launcher.stdout.setEncoding('utf8').on('data', (text) => {
    printed += text
  })
  const closed = once(launcher.stdout, 'close')
  await eventually('its work', () => printed.split('at it').length > 5)
  // The programs that it starts get neither the pipe nor the variable.
  assert.match(printed, new RegExp(`^<> ${root}/dist/cli.cjs x\n`))
  assert.equal(processesOf(folder).length, 2)
  launcher.kill('SIGKILL')
  await closed
  assert.match(printed, /told to end\n$/)
  await eventually('the end of both', () => processesOf(folder).length === 0)
})
