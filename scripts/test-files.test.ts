import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { processStat } from '../src/platform/proc.ts'
import { eventually } from '../test/support/errand-command.ts'
import { patience } from '../test/support/patience.ts'

const root = join(import.meta.dirname, '..')

/** Creates a project with the test command and these test files. */
function project(t: TestContext, files: Record<string, string>) {
  const folder = mkdtempSync(join(tmpdir(), 'errand-test-files-'))
  // A command whose terminal was closed still saves what it knows.
  t.after(() => rmSync(folder, { recursive: true, maxRetries: 10, retryDelay: 100 }))
  const support = ['patience.ts', 'test-reporter.ts', 'unhandled-rejections.cjs'].map((name) =>
    join('test/support', name),
  )
  for (const path of ['scripts', 'src/platform', ...support])
    cpSync(join(root, path), join(folder, path), {
      recursive: true,
      filter: (source) => !source.endsWith('.test.ts'),
    })
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  const imports = `import test from 'node:test'
import fs from 'node:fs'
import { spawn } from 'node:child_process'
`
  /** Puts the text into one of the test files. */
  const write = (name: string, text: string) => writeFileSync(join(folder, 'src', name), imports + text)
  for (const [name, text] of Object.entries(files)) write(name, text)

  const start = (
    env: Record<string, string> = {},
    within: (command: string) => string[] = () => [],
    args: readonly string[] = [],
  ) => {
    const { ERRAND_TEST_NO_SKIPS, ERRAND_TEST_UNSTABLE, ERRAND_TEST_WITHOUT, ...others } = process.env
    const { ERRAND_TEST_LARGE, ERRAND_TEST_SECOND_PASS, ...rest } = others
    const [first, ...words] = [
      ...within(`'${process.execPath}' scripts/test.ts`),
      ...(within('').length > 0 ? [] : [process.execPath, 'scripts/test.ts', ...args]),
    ]
    const child = spawn(first!, words, { cwd: folder, env: { ...rest, HOME: folder, ...env } })
    const printed = { text: '' }
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (printed.text += text))
    const finished = once(child, 'close').then(([status]) => ({
      status: status as number | null,
      output: printed.text,
    }))
    return { child, printed, finished }
  }
  const run = (env?: Record<string, string>, ...args: string[]) => start(env, undefined, args).finished
  /** Returns the pid of a process that a test file has written down. */
  const pidIn = (name: string) => eventually(name, () => Number(readIfThere(join(folder, name))) || undefined)
  return { folder, start, run, pidIn, write }
}

const readIfThere = (file: string) => (existsSync(file) ? readFileSync(file, 'utf8') : '')

const passing = "test('passes', () => {})\n"
const failing = "test('fails', () => { console.log('it says so'); throw new Error('broken') })\n"
const exiting = 'process.exit(3)\n'
const skipped = "test('skipped', { skip: 'no engine' }, () => {})\n"
const endless = "test('ends', () => { setInterval(() => {}, 1000); throw new Error('why') })\n"
/** A test that fails the first time. */
const failingOnce =
  "test('once', () => { if (!fs.existsSync('seen')) { fs.writeFileSync('seen', ''); throw new Error('first') } })\n"
/** Starts a process in its own session that ignores signals and holds the output open, and writes down its pid. */
const leaves = (name: string) => `
function leave() {
  const command = 'trap "" TERM HUP INT; while :; do sleep 1; done'
  const child = spawn('sh', ['-c', command], { detached: true, stdio: 'inherit' })
  child.unref()
  fs.writeFileSync('${name}', String(child.pid))
}
`
const hanging = `${leaves('left')}test('hangs', async () => { leave(); await new Promise(() => setInterval(() => {}, 1000)) })\n`

test('a file may be silent for longer while the machine is overloaded, up to a limit', () => {
  assert.deepEqual(
    [0, 4, 8, 12, 16, 100].map((load) => patience(load, 2)),
    [1, 1, 2, 3, 4, 4],
  )
})

test('a process that dies of an unhandled rejection fails its file, with its command and stack', async (t) => {
  const starts = (...words: string[]) =>
    `spawn(process.execPath, ${JSON.stringify(words)}, { env: {} }).on('exit', resolve)`
  const dies = starts('-e', 'Promise.reject(new Error("unheard"))', 'the runner')
  const { run } = project(t, {
    'dies.test.ts': `test('passes', () => new Promise((resolve) => ${dies}))`,
    // A rejection that is handled in time, and an error that is thrown, are left to the test.
    'lives.test.ts': `test('passes', () => new Promise((resolve) => ${starts('-e', 'Promise.reject(1).catch(() => {}); throw new Error()')}))`,
  })
  const { status, output } = await run()
  assert.equal(status, 1, output)
  assert.match(output, /^2 passed, 1 failed$/m)
  assert.match(
    output,
    /FAILED src\/dies\.test\.ts\nProcess \d+ died of a rejection that nobody has handled: \S+ the runner\nError: unheard\n +at /,
  )
})

test('every process that errand starts is watched too, and a step sees its usual environment', async (t) => {
  const { folder, run } = project(t, {
    'errand.test.ts':
      "test('passes', () => new Promise((resolve) => spawn('sh', ['-c', 'exec \"$0\" \"$1\"', 'bin/errand', 'hub.cjs'], { env: {} }).on('exit', resolve)))",
  })
  mkdirSync(join(folder, 'bin'))
  writeFileSync(join(folder, 'bin/errand'), `#!/bin/sh\nexec '${process.execPath}' "$@"\n`, { mode: 0o755 })
  const spawns = "const { spawn, execFileSync } = require('child_process')\n"
  const runner = "spawn(process.execPath, ['runner.cjs'], { env: { ...process.env, A: 'b' } })"
  writeFileSync(join(folder, 'hub.cjs'), `${spawns}${runner}`)
  const step = "execFileSync('sh', ['-c', 'printf %s \"$A-$NODE_OPTIONS\" >seen'])"
  writeFileSync(join(folder, 'runner.cjs'), `${spawns}${step}\nPromise.reject(new Error('unheard'))`)
  const { status, output } = await run()
  assert.equal(status, 1, output)
  assert.match(output, /died of a rejection that nobody has handled: \S+ \S+\/runner\.cjs\nError: unheard/)
  assert.equal(readFileSync(join(folder, 'seen'), 'utf8'), 'b-')
})

test("a failure is shown with its file's output, and a file that dies has failed", async (t) => {
  const { run } = project(t, { 'a.test.ts': passing + failing, 'b.test.ts': passing, 'c.test.ts': exiting })
  const { status, output } = await run()
  assert.equal(status, 1)
  assert.match(output, /FAILED src\/a\.test\.ts:5 fails.*Error: broken/s)
  assert.match(output, /printed by src\/a\.test\.ts\nit says so/)
  assert.match(output, /FAILED src\/c\.test\.ts\nIt ended with exit code 3/)
  assert.match(output, /\n2 passed, 2 failed\n/)
})

test('each file is reported as it ends, with the number of files', async (t) => {
  const { run } = project(t, { 'a.test.ts': passing, 'b.test.ts': passing + skipped })
  const { output } = await run()
  assert.match(
    output,
    /^2 test files, about \d+ seconds on \d+ cores?\n1\/2 src\/[ab]\.test\.ts: 1 passed.* in [\d.]+ s\n2\/2 src\/[ab]\.test\.ts: 1 passed/,
  )
  assert.match(output, /b\.test\.ts: 1 passed, 1 skipped in/)
})

test('a silent file is ended with its children, has failed, and reports what it found', async (t) => {
  const { run, pidIn } = project(t, {
    'a.test.ts': endless,
    'b.test.ts': `${passing}${hanging}`,
    'c.test.ts': passing,
  })
  const { status, output } = await run({ ERRAND_TEST_SILENT_SECONDS: '10' })
  assert.equal(status, 1)
  assert.match(output, /FAILED src\/a\.test\.ts:4 ends.*Error: why.*It gave no sign for \d+ s/s)
  assert.match(output, /It gave no sign for \d+ s, and was ended\.\nIt was at: src\/b\.test\.ts:\d+ hangs/)
  assert.match(output, /\n2 passed, 3 failed\n/)
  assert.equal(processStat(await pidIn('left')), undefined)
})

test('output and the end of a test both count as signs', async (t) => {
  // Sleeps: a file that lives on by its signs alone must live for longer than it may be silent.
  const wait = 'const wait = () => new Promise((done) => setTimeout(done, 500))\n'
  const { run } = project(t, {
    'a.test.ts': `${wait}test('prints', async () => { for (let n = 0; n < 24; n++) { console.log(n); await wait() } })\n`,
    'b.test.ts': `${wait}for (let n = 0; n < 24; n++) test('is one of many', wait)\n`,
  })
  const { status, output } = await run({ ERRAND_TEST_SILENT_SECONDS: '10' })
  assert.equal(status, 0, output)
})

test('a file that leaves a process behind has failed, and the process is ended', async (t) => {
  const { run, pidIn } = project(t, {
    'a.test.ts': `${leaves('left')}test('passes', leave)\n`,
    'b.test.ts': passing,
  })
  const { status, output } = await run()
  assert.equal(status, 1)
  assert.match(
    output,
    /FAILED src\/a\.test\.ts\nIt left these processes, which were ended:\n(?: {2}sleep 1 \n)? {2}sh -c trap/,
  )
  assert.match(output, /\n2 passed, 1 failed\n$/)
  assert.equal(processStat(await pidIn('left')), undefined)
})

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  test(`${signal} ends everything that runs, and the results so far are shown`, async (t) => {
    const { start, pidIn } = project(t, {
      'a.test.ts': passing + failing,
      'b.test.ts': hanging,
      'c.test.ts': hanging.replace("'left'", "'other'"),
    })
    const { child, printed, finished } = start()
    await eventually('the end of the first file', () => printed.text.includes('a.test.ts: 1 passed'))
    const pids = [await pidIn('left'), await pidIn('other')]
    child.kill(signal)
    const { status, output } = await finished
    assert.ok(status !== null && status > 128, `status ${status}`)
    assert.match(output, /FAILED src\/a\.test\.ts:\d+ fails/)
    assert.match(output, new RegExp(`Stopped by ${signal}: 1 of 3 files had ended`))
    assert.match(output, /\n1 passed, 1 failed\n$/)
    assert.deepEqual(pids.map(processStat), [undefined, undefined])
  })

test('closing the terminal ends everything that runs, and so does a reader that goes away', async (t) => {
  const { folder, start, pidIn } = project(t, {
    'a.test.ts': hanging,
    // Its end is printed only after the other file has begun.
    'b.test.ts': `test('waits', async () => {
  while (!fs.existsSync('left') || fs.readFileSync('left', 'utf8') === '') await new Promise((done) => setTimeout(done, 20))
})\n`,
  })
  for (const within of [
    (command: string) => ['/usr/bin/script', '-qec', command, '/dev/null'],
    (command: string) => ['/bin/sh', '-c', `${command} | head -1`],
  ]) {
    rmSync(join(folder, 'left'), { force: true })
    const { child } = start({}, within)
    const pid = await pidIn('left')
    child.kill('SIGKILL')
    await eventually('everything it started ends', () => processStat(pid) === undefined)
  }
})

test('tests have the same environment on each machine: no colours, no terminal, one time zone, their own home', async (t) => {
  const shows = `test('shows', () => {
    const { TZ, LANG, LC_ALL, HOME, TMPDIR, FORCE_COLOR, NO_COLOR, TERM, NODE_OPTIONS } = process.env
    let terminal = true
    try { fs.closeSync(fs.openSync('/dev/tty')) } catch { terminal = false }
    fs.writeFileSync('shown', JSON.stringify({
      ...{ TZ, LANG, LC_ALL, FORCE_COLOR, NO_COLOR, TERM, NODE_OPTIONS, terminal, umask: process.umask() },
      apart: ![process.env.GIVEN_HOME, '/'].includes(HOME) && fs.readdirSync(HOME).length + fs.readdirSync(TMPDIR).length,
      folders: [HOME, TMPDIR],
    }))
  })\n`
  const { folder, start } = project(t, { 'a.test.ts': shows })
  mkdirSync(join(folder, 'home'))
  const home = join(folder, 'home')
  const files = {
    HOME: home,
    TMPDIR: home,
    TZ: 'Pacific/Chatham',
    LC_ALL: 'tr_TR.UTF-8',
    LANG: 'de_DE.UTF-8',
  }
  const colours = { FORCE_COLOR: '3', TERM: 'xterm-256color', NODE_OPTIONS: '--no-warnings' }
  const { finished } = start({ ...files, ...colours }, (command) => [
    ...['/usr/bin/script', '-qec'],
    ...[`umask 077; ${command}`, '/dev/null'],
  ])
  const { status, output } = await finished
  assert.equal(status, 0, output)
  const { folders, ...shown } = JSON.parse(readFileSync(join(folder, 'shown'), 'utf8'))
  assert.deepEqual(shown, { TZ: 'UTC', LANG: 'C.UTF-8', terminal: false, umask: 0o022, apart: 0 })
  assert.ok(!folders.some((path: string) => path.startsWith(home) || existsSync(path)), String(folders))
  // The running files are shown on a line that is rewritten.
  assert.match(output, /\r\x1b\[K1 of 1 files left, about \d+ seconds, running: src\/a\.test\.ts/)
})

test('test files share a compile cache that is removed at the end and hidden from their children', async (t) => {
  const shows = (name: string) => `import module from 'node:module'
test('shows', () => {
    const told = [module.getCompileCacheDir() ?? '', process.env.NODE_COMPILE_CACHE ?? 'none']
    fs.writeFileSync('${name}', told.join(' '))
  })\n`
  const { folder, run } = project(t, { 'a.test.ts': shows('a'), 'b.test.ts': shows('b') })
  const { status, output } = await run()
  assert.equal(status, 0, output)
  const [a, b] = ['a', 'b'].map((name) => readFileSync(join(folder, name), 'utf8').split(' '))
  assert.deepEqual(a, b)
  assert.match(a![0]!, /\/errand-compiled-/)
  assert.equal(a![1], 'none')
  assert.equal(existsSync(dirname(a![0]!)), false)
})

test('on a terminal a failure fails the command', async (t) => {
  const { start } = project(t, { 'a.test.ts': failing })
  const { status, output } = await start({}, (command) => ['/usr/bin/script', '-qec', command, '/dev/null'])
    .finished
  assert.equal(status, 1, output)
})

test('skips are shown as one line per reason, and fail with their names where none is allowed', async (t) => {
  const { run } = project(t, {
    'a.test.ts': passing + skipped + skipped,
    'b.test.ts': skipped.replace('no engine', 'no agent'),
  })
  const usual = await run()
  assert.equal(usual.status, 0)
  assert.match(usual.output, /\nSkipped:\n {4}2 {2}no engine\n {4}1 {2}no agent\n2 files in/)
  const strict = await run({ ERRAND_TEST_NO_SKIPS: '1' })
  assert.equal(strict.status, 1)
  for (const name of ['a.test.ts:5', 'a.test.ts:6', 'b.test.ts:4'])
    assert.match(strict.output, new RegExp(`no test may be skipped here:\n.*  src/${name} skipped\n`, 's'))
})

test('failed files run again alone if the limit allows it, and passing then counts as unstable', async (t) => {
  const files = { 'a.test.ts': failingOnce + passing, 'b.test.ts': passing }
  assert.equal((await project(t, files).run()).status, 1)
  const { status, output } = await project(t, files).run({ ERRAND_TEST_UNSTABLE: '1' })
  assert.equal(status, 0, output)
  assert.match(output, /FAILED src\/a\.test\.ts:4 once.*Error: first.*UNSTABLE src\/a\.test\.ts/s)
  assert.match(output, /\n3 passed, 0 failed\n$/)
})

test('a file that fails again alone has failed, and more files than the limit are not run again', async (t) => {
  const broken = await project(t, { 'a.test.ts': failing + passing }).run({ ERRAND_TEST_UNSTABLE: '1' })
  assert.equal(broken.status, 1)
  assert.match(broken.output, /FAILED AGAIN src\/a\.test\.ts.*1 passed, 1 failed/s)
  const many = await project(t, { 'a.test.ts': failingOnce, 'b.test.ts': failing }).run({
    ERRAND_TEST_UNSTABLE: '1',
  })
  assert.equal(many.status, 1)
  assert.doesNotMatch(many.output, /AGAIN|UNSTABLE/)
})

/** Returns the test files that ran, by their letters. */
const ranIn = (output: string) =>
  [...output.matchAll(/^\d+\/\d+ src\/(\w+)\.test\.ts: /gm)].map(([, name]) => name).sort()

test('--only-failed continues with the files that have not passed, until all have', async (t) => {
  const files = { 'a.test.ts': passing, 'b.test.ts': failing, 'c.test.ts': exiting }
  const { folder, run, write } = project(t, files)
  const only = (env?: Record<string, string>) => run(env, '--only-failed')
  const all = await only()
  assert.deepEqual(ranIn(all.output), ['a', 'b', 'c'])
  assert.equal(all.status, 1)

  write('b.test.ts', passing)
  write('d.test.ts', passing)
  const some = await only()
  assert.deepEqual(ranIn(some.output), ['b', 'c', 'd'])
  assert.equal(some.status, 1)

  write('c.test.ts', passing)
  const last = await only()
  assert.deepEqual(ranIn(last.output), ['c'])
  assert.equal(last.status, 0, last.output)

  const none = await only()
  assert.deepEqual(ranIn(none.output), [])
  assert.match(none.output, /\n0 files in [\d.]+ s\n0 passed, 0 failed\n$/)
  assert.equal(none.status, 0)

  // Each kind of run has its own record, and an unreadable record counts as none.
  assert.deepEqual(ranIn((await run({}, '--all', '--only-failed')).output), ['a', 'b', 'c', 'd'])
  writeFileSync(join(folder, 'node_modules/.cache/errand-tests/last-run-usual.json'), '{"passed":["src/a')
  assert.deepEqual(ranIn((await only()).output), ['a', 'b', 'c', 'd'])
  assert.deepEqual(ranIn((await run()).output), ['a', 'b', 'c', 'd'])
})

test('--only-failed reruns skipped files where no skip is allowed', async (t) => {
  const { run } = project(t, { 'a.test.ts': passing, 'b.test.ts': passing + skipped })
  const strict = { ERRAND_TEST_NO_SKIPS: '1' }
  assert.equal((await run(strict)).status, 1)
  const again = await run(strict, '--only-failed')
  assert.deepEqual(ranIn(again.output), ['b'])
  assert.equal(again.status, 1)
})

test('only a passing run of all files records its commit as passed', async (t) => {
  const { folder, run } = project(t, { 'a.test.ts': passing, 'b.test.ts': passing + skipped })
  const git = (...args: string[]) => {
    const person = ['-c', 'user.name=A', '-c', 'user.email=a@example.org']
    return execFileSync('git', [...person, ...args], { cwd: folder, encoding: 'utf8' }).trim()
  }
  const commit = () => {
    git('add', '-A')
    git('commit', '-qm', 'a change', '--allow-empty')
    return git('rev-parse', 'HEAD')
  }
  const noted = () =>
    JSON.parse(readFileSync(join(folder, '.cache/errand-test/durations.json'), 'utf8')).last_passed
  writeFileSync(join(folder, '.gitignore'), 'node_modules\n.cache\n')
  git('init', '-q')
  const first = commit()
  await run({ ERRAND_TEST_NO_SKIPS: '1' })
  assert.equal(noted(), undefined)
  await run()
  assert.equal(noted(), first)
  const second = commit()
  for (const word of ['--only-failed', 'src']) {
    assert.equal((await run({}, word)).status, 0)
    assert.equal(noted(), first, word)
  }
  await run()
  assert.equal(noted(), second)
})

// Concatenated, so that this file does not ask for the service itself.
const HOST = 'DOCKER_HOST'
const engine = { [HOST]: 'unix:///var/run/docker.sock' }
const asking = `const skip = process.env.${HOST} === 'unix:///nonexistent' && 'no engine'\n`
const skipping = `${asking}${passing}test('uses it', { skip }, () => {})\n`

test('the second pass runs files that ask for a service without it, and one that skips nothing fails', async (t) => {
  const { run } = project(t, {
    'a.test.ts': passing,
    'pretends.test.ts': asking + passing,
    'skips.test.ts': skipping,
  })
  const { status, output } = await run({ ...engine, ERRAND_TEST_SECOND_PASS: '1' })
  assert.equal(status, 1)
  assert.deepEqual(ranIn(output), ['pretends', 'skips'])
  const sentence =
    /FAILED src\/pretends\.test\.ts\nIt asks for a service of the machine, and skips no test where there is none\.\n/
  assert.match(output, sentence)
  assert.match(output, /skips\.test\.ts: 1 passed, 1 skipped in/)
  assert.match(output, /\n2 passed, 1 failed\n$/)
})

test('the second pass passes if every such file skips, and keeps the record of the first', async (t) => {
  const { run } = project(t, {
    'a.test.ts': passing,
    'skips.test.ts': skipping,
    'broken.test.ts': `${asking}${passing}if (skip) ${failing}`,
  })
  const failed = await run({ ERRAND_TEST_SECOND_PASS: '1' })
  assert.equal(failed.status, 1)
  assert.match(failed.output, /FAILED src\/broken\.test\.ts:\d+ fails/)
  assert.doesNotMatch(failed.output, /skips no test/)
  const first = await run(engine, 'src')
  assert.equal(first.status, 0, first.output)
  assert.match(first.output, /skips\.test\.ts: 2 passed in/)
  const passed = await run({ ERRAND_TEST_SECOND_PASS: '1' }, 'src/skips.test.ts')
  assert.equal(passed.status, 0, passed.output)
  assert.deepEqual(ranIn((await run({}, '--only-failed')).output), [])
})

/** Writes the script that makes the Docker engine ready in the project. */
function preparing(folder: string, script: string): void {
  const path = join(folder, 'test/support/docker/ensure-docker.sh')
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
}

test('a file waits until its service is ready, and a failed preparation is shown and fails the run', async (t) => {
  const waitsForFile = "test('looks', () => { if (!fs.existsSync('tried')) throw new Error('too early') })\n"
  const { folder, run } = project(t, { 'a.test.ts': passing, 'b.test.ts': asking + waitsForFile })
  const strict = { ...engine, ERRAND_TEST_NO_SKIPS: '1' }
  preparing(folder, 'touch tried; echo it says why >&2; exit 3')
  const { status, output } = await run(strict)
  assert.equal(status, 1)
  assert.match(output, /b\.test\.ts: 1 passed in/)
  assert.match(
    output,
    /FAILED preparation of docker\n"\S+ensure-docker\.sh" ended with exit code 3:\nit says why\n/,
  )
  assert.match(output, /\nFailed:\n {2}preparation of docker\n.*\n2 passed, 1 failed\n$/s)

  rmSync(join(folder, 'test/support/docker'), { recursive: true })
  const missing = await run(strict)
  assert.equal(missing.status, 1)
  assert.match(missing.output, /FAILED preparation of docker\n.*ENOENT.*\n2 passed, 1 failed\n$/s)
})

test('a signal ends a preparation that files wait for, with its children', async (t) => {
  const { folder, start, pidIn } = project(t, { 'a.test.ts': asking + passing })
  preparing(folder, 'sleep 1000 & echo $! > child; echo $$ > left; wait')
  const { child, finished } = start({ ...engine, ERRAND_TEST_NO_SKIPS: '1' })
  const pids = [await pidIn('left'), await pidIn('child')]
  child.kill('SIGINT')
  const { status, output } = await finished
  assert.equal(status, 130)
  assert.match(output, /Stopped by SIGINT: 0 of 1 files had ended/)
  assert.match(output, /\n0 passed, 0 failed\n$/)
  await eventually('they end', () => pids.every((pid) => processStat(pid) === undefined))
})
