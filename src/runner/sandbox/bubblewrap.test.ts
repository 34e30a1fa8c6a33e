import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { attemptSpec, command, endOf, textOf } from '../../../test/support/runner/attempt-fixture.ts'
import {
  type BoxPlace,
  boxPlace,
  sandboxMissing,
  type Words,
} from '../../../test/support/runner/box-fixture.ts'

const skip = sandboxMissing()

function run({ argv, cwd, env }: Words, input?: string) {
  const { status, signal, stdout, stderr } = spawnSync(argv[0]!, argv.slice(1), {
    cwd,
    env,
    input,
    encoding: 'utf8',
  })
  return { status, signal, stdout, stderr }
}

/** Runs the command in a new box. */
async function inside(here: BoxPlace, text: string, more?: Parameters<BoxPlace['words']>[2]) {
  const box = here.box()
  await box.prepare()
  const ran = run(here.words(box, text, more))
  assert.equal(await box.end(), true)
  return ran
}

test("a box contains its folders and the machine's programs, and nothing else of the machine", {
  skip,
}, async () => {
  using here = boxPlace()
  writeFileSync(join(here.path, 'outside'), 'held back')
  const other = join(here.path, 'given')
  mkdirSync(other)
  writeFileSync(join(other, 'read'), 'read me')
  const mounts = { writable: [here.workspace], readable: [other] }
  const { stdout, stderr, status } = await inside(
    here,
    `cat ${other}/read; echo; echo made >made; touch ${other}/no; cat ${here.path}/outside; ls ${here.path} / /home /run /etc/shadow /sys /root`,
    { mounts },
  )
  assert.notEqual(status, 0)
  assert.match(stdout, /^read me/)
  assert.equal(readFileSync(join(here.workspace, 'made'), 'utf8'), 'made\n')
  assert.match(stderr, /no': Read-only file system/)
  assert.match(stderr, /outside: No such file/)
  for (const path of ['/etc/shadow', '/sys', '/root'])
    assert.match(stderr, new RegExp(`'${path}': No such file`))
  const lines = stdout.split('\n')
  const listed = (path: string) => {
    const from = lines.indexOf(`${path}:`) + 1
    return lines
      .slice(from, lines.indexOf('', from) === -1 ? undefined : lines.indexOf('', from))
      .filter(Boolean)
  }
  assert.deepEqual(listed(here.path), ['given', 'workspace'])
  assert.deepEqual(listed('/home'), ['errand'])
  assert.deepEqual(listed('/run'), ['box', 'etc'])
  assert.deepEqual(
    listed('/').filter((name) => !name.startsWith('lib')),
    ['bin', 'dev', 'etc', 'home', 'proc', 'run', 'sbin', 'tmp', 'usr', 'var'],
  )
})

test('a box has no privileges, other processes, network or descriptors beyond the three', {
  skip,
}, async () => {
  using here = boxPlace()
  const { stdout } = await inside(
    here,
    `grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status /proc/1/status
     ls /proc | grep -c '^[0-9]'; id -un; cat /proc/net/dev | tail -n +3 | cut -d: -f1; ls /proc/self/fd | wc -l; hostname`,
  )
  for (const line of stdout.split('\n').filter((each) => each.includes('Cap'))) assert.match(line, /\t0{16}$/)
  assert.equal(stdout.match(/NoNewPrivs:\t1/g)?.length, 2)
  assert.equal(stdout.match(/Seccomp:\t2/g)?.length, 2)
  const [processes, name, lo, descriptors, host] = stdout.trim().split('\n').slice(-5)
  assert.ok(Number(processes) <= 5, processes)
  assert.deepEqual([name, lo!.trim(), host], ['errand', 'lo', 'errand'])
  // The three, the one of the listing, and those that the caller of this test has passed on.
  const handed = spawnSync('/bin/sh', ['-c', 'ls /proc/self/fd | wc -l'], { encoding: 'utf8' }).stdout
  assert.equal(descriptors, handed.trim())
})

test("variables inside are the step's, and outside there are none that a program would obey", {
  skip,
}, async () => {
  using here = boxPlace()
  const env = {
    LD_PRELOAD: '',
    SECRET: 'a "b"\nc',
    PATH: '/usr/bin',
    HOME: '/root',
    ERRAND_ATTEMPT_MARK: 'mine',
  }
  const box = here.box()
  await box.prepare()
  const words = here.words(box, 'env -0; cat /proc/1/environ', { env })
  assert.deepEqual(Object.keys(words.env).sort(), ['ERRAND_ATTEMPT_MARK', 'PATH'])
  assert.doesNotMatch(JSON.stringify(words), /SECRET/)
  const seen = run(words).stdout.split('\0')
  assert.ok(seen.includes('SECRET=a "b"\nc'))
  assert.ok(
    seen.includes('HOME=/home/errand') && seen.includes('TMPDIR=/tmp') && seen.includes('PATH=/usr/bin'),
  )
  assert.equal(seen.filter((each) => each === 'ERRAND_ATTEMPT_MARK=mine').length, 2)
  assert.equal(seen.filter((each) => each.startsWith('SECRET')).length, 1)
  await box.end()
  assert.ok(!existsSync(join(here.path, 'box-1/box/args.main')))
})

test('exit codes, signals and failed starts are distinguished', { skip }, async () => {
  using here = boxPlace()
  const attempts = here.open()
  const end = async (cmd: string, args = {}) => {
    const attempt = await attempts.start(command(cmd, { args }), 1)
    const { reason, exit_code, message } = await endOf(attempt)
    return { reason, exit_code, message, text: await textOf(attempt) }
  }
  assert.equal((await end('exit 1')).exit_code, 1)
  assert.equal((await end('exit 126')).exit_code, 126)
  assert.equal((await end('kill -9 $$')).exit_code, 137)
  assert.equal((await end('echo out; cat /proc/self/uid_map >/dev/null')).text, 'out\n')
  const missing = await end('true', { cwd: '/root' })
  assert.equal(missing.reason, 'start_failed')
  assert.match(
    missing.message!,
    /The working folder \/root is not in the sandbox\. Put it into the workspace/,
  )
  const script = await attempts.start(
    attemptSpec('shell.run', { script: `#!/usr/bin/env sh\necho of a file; : ${'x'.repeat(120_000)}` }),
    1,
  )
  assert.equal((await endOf(script)).outcome, 'success')
  assert.equal(await textOf(script), 'of a file\n')
  await attempts.close()
})

test('places that cannot be provided are refused before anything starts', { skip }, async () => {
  using here = boxPlace({ hidden: [] })
  const box = here.box()
  await box.prepare()
  const refused = (mounts: { writable?: string[]; readable?: string[] }, cwd?: string) => {
    const all = { writable: [here.workspace], readable: [], ...mounts }
    try {
      here.words(box, 'true', { mounts: all, cwd })
      return 'taken'
    } catch (error) {
      return (error as Error).message
    }
  }
  writeFileSync(join(here.path, 'file'), '')
  assert.match(
    refused({ readable: [join(here.path, 'none')] }),
    /none cannot be mounted .*: it does not exist\.$/,
  )
  assert.match(
    refused({ writable: [join(here.path, 'file')] }),
    /file cannot be mounted .*: it is not a folder\.$/,
  )
  assert.match(refused({ writable: ['/'] }), /^A sandbox cannot work in \/: the whole machine shares it\.$/)
  assert.match(refused({ writable: ['/tmp'] }), /cannot work in \/tmp/)
  symlinkSync('/tmp', join(here.path, 'shared'))
  assert.match(
    refused({ writable: [join(here.path, 'shared')] }),
    /cannot work in .*shared: the whole machine/,
  )
  const { HOME } = process.env
  process.env.HOME = join(here.path, 'home')
  mkdirSync(process.env.HOME)
  for (const path of [process.env.HOME, here.path])
    assert.match(
      refused({ writable: [path] }, path),
      /^A sandbox cannot work in .*: it is the home of this user\.$/,
    )
  const project = join(process.env.HOME, 'project')
  mkdirSync(project)
  assert.equal(refused({ writable: [project] }, project), 'taken')
  process.env.HOME = HOME
  assert.match(refused({ readable: ['/proc/1'] }), /\/proc\/1 cannot be mounted .*: a sandbox has its own\.$/)
  assert.equal(spawnSync('mkfifo', [join(here.path, 'pipe')]).status, 0)
  assert.match(refused({ readable: [join(here.path, 'pipe')] }), /neither a folder nor a file/)
  assert.match(refused({}, here.path), /The working folder .* is not in the sandbox/)
  const large = () => here.words(box, 'true', { env: { HUGE: 'x'.repeat(200_000) } })
  assert.throws(large, /The largest is HUGE with 200000 bytes/)
})

test('hidden paths are empty in every folder that contains them, except for what is provided below', {
  skip,
}, async () => {
  using here = boxPlace()
  const own = join(here.workspace, '.errand')
  const session = join(own, 'sessions/one')
  mkdirSync(session, { recursive: true })
  writeFileSync(join(own, 'token'), 'held back')
  writeFileSync(join(session, 'file'), 'given')
  writeFileSync(join(here.workspace, 'config'), 'held back')
  symlinkSync(here.workspace, join(here.path, 'link'))
  using hiding = boxPlace({ hidden: [own, join(here.workspace, 'config'), join(here.path, 'nothing')] })
  for (const workspace of [here.workspace, join(here.path, 'link')]) {
    const below = session.replace(here.workspace, workspace)
    const mounts = { writable: [workspace, below], readable: [] }
    const text = `ls -A .errand .errand/sessions; cat config .errand/sessions/one/file; echo no >.errand/x; echo more >.errand/sessions/one/made`
    const { stdout, stderr } = await inside(hiding, text, { mounts, cwd: workspace })
    assert.equal(stdout, '.errand:\nsessions\n\n.errand/sessions:\none\ngiven')
    assert.match(stderr, /cannot create .errand\/x: Read-only file system/)
    assert.equal(readFileSync(join(session, 'made'), 'utf8'), 'more\n')
  }
  assert.equal(existsSync(join(own, 'x')), false)
  // Hidden under another name of a folder around it, too.
  const deep = join(here.workspace, 'a/b/data')
  mkdirSync(deep, { recursive: true })
  writeFileSync(join(deep, 'token'), 'held back')
  using hidingDeep = boxPlace({ hidden: [deep] })
  const moves = 'mv a/b/data a/b/d; mv a/b a/c; mv a d; cat */*/*/token; echo made >a/b/made'
  const moved = await inside(hidingDeep, moves, {
    mounts: { writable: [here.workspace], readable: [] },
    cwd: here.workspace,
  })
  assert.doesNotMatch(moved.stdout, /held back/)
  assert.equal(moved.stderr.match(/Device or resource busy/g)?.length, 3, moved.stderr)
  assert.ok(existsSync(join(deep, 'token')) && existsSync(join(here.workspace, 'a/b/made')))
  await assert.rejects(
    inside(hiding, 'true', { mounts: { writable: [own], readable: [] }, cwd: own }),
    /A sandbox cannot have .*\.errand: Errand stores its own files there\./,
  )
})

test('200 places with arbitrary names are provided', { skip }, async () => {
  using here = boxPlace()
  const names = [...Array(197).keys()].map(String).concat('a b', 'c:d', 'e\nf"g$(h)')
  const readable = names.map((name) => join(here.path, 'many', name))
  for (const [index, path] of readable.entries()) {
    mkdirSync(path, { recursive: true })
    writeFileSync(join(path, 'file'), `${index},`)
  }
  const { stdout } = await inside(here, `cat "$@" ${here.path}/many/*/file`, {
    mounts: { writable: [here.workspace], readable },
  })
  assert.deepEqual(
    stdout
      .split(',')
      .filter(Boolean)
      .map(Number)
      .sort((a, b) => a - b),
    [...Array(200).keys()],
  )
})

/** Opens all of /proc that belongs to no process for writing, and reads what only its owner may read. */
const LOOK = `
import os
for folder, folders, files in os.walk('/proc'):
    if folder == '/proc': folders[:] = [name for name in folders if not name.isdigit() and not name.endswith('self')]
    for name in files:
        path = os.path.join(folder, name)
        try: os.close(os.open(path, os.O_WRONLY)); print('written', path)
        except OSError: pass
        if folder == '/proc':
            try:
                if not os.stat(path).st_mode & 4: print('read', path, len(os.read(os.open(path, os.O_RDONLY), 1)))
            except OSError: pass
`

test("nothing of /proc that belongs to the whole machine is writable, nor readable if it is root's", {
  skip,
}, async () => {
  using here = boxPlace()
  // This file names a program that the kernel runs as root.
  const before = readFileSync('/proc/sys/kernel/core_pattern', 'utf8')
  writeFileSync(join(here.workspace, 'look.py'), LOOK)
  const { stdout, stderr } = await inside(
    here,
    `/usr/bin/python3 look.py; echo "|${here.workspace}/evil" >/proc/sys/kernel/core_pattern; cat /proc/sys/kernel/osrelease`,
  )
  const lines = stdout.trim().split('\n')
  // Everybody may set a trigger of their own.
  assert.deepEqual(
    lines.slice(0, -1).filter((line) => !line.startsWith('written /proc/pressure/')),
    [],
  )
  assert.match(stderr, /core_pattern: (Read-only file system|Permission denied)/)
  assert.match(lines.at(-1)!, /^\d+\.\d+/)
  assert.equal(readFileSync('/proc/sys/kernel/core_pattern', 'utf8'), before)
})

test('a setuid program that works for its user everywhere cannot be left behind', { skip }, async () => {
  using here = boxPlace()
  const text = `cp /bin/sh sh; chmod 4755 sh; chmod u+s sh; chmod 755 sh; mkdir shared; chmod 2775 shared; touch file; chmod 600 file; install -m 4755 /bin/sh other; ls`
  const { stdout, stderr } = await inside(here, text)
  assert.match(stderr, /sh': Operation not permitted/)
  assert.match(stdout, /file\n(other\n)?sh\nshared/)
  const mode = (name: string) => statSync(join(here.workspace, name), { throwIfNoEntry: false })?.mode ?? 0
  const modes = ['sh', 'file', 'shared'].map((name) => mode(name) & 0o7777)
  assert.deepEqual([...modes, mode('other') & 0o4000], [0o755, 0o600, 0o755, 0])
})

test("the machine's devices keep their modes and times, and are usable", { skip }, async () => {
  using here = boxPlace()
  const devices = () =>
    ['full', 'null'].map((name) => statSync(`/dev/${name}`)).map((each) => [each.mode, each.mtimeMs])
  const before = devices()
  const box = here.box()
  await box.prepare()
  // A device that nobody would miss, should this fail.
  const text = `chmod a+r /dev/full; for fd in 0 2; do touch -d @1 /dev/full "/proc/self/fd/$fd"; done
    echo >/dev/null; head -c 1 /dev/zero | wc -c`
  const { argv, cwd, env } = here.words(box, text)
  const stdio = ['ignore', 'pipe', 'ignore'] as const
  const { stdout } = spawnSync(argv[0]!, argv.slice(1), { cwd, env, stdio: [...stdio], encoding: 'utf8' })
  assert.equal(await box.end(), true)
  assert.equal(stdout, '1\n')
  assert.deepEqual(devices(), before)
})
