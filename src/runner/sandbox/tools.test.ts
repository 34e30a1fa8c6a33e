import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { build } from 'esbuild'
import { boxPlace, sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import { findProgram } from '../../platform/files.ts'

/** Programs of a machine, and their expectations, in a box. */

const skip = sandboxMissing()
const PATH = '/usr/local/bin:/usr/bin:/bin'
const without = (program: string) =>
  skip || (findProgram(program, PATH, '/') === undefined && `there is no ${program}`)

async function inside(text: string, env: NodeJS.ProcessEnv = {}) {
  using here = boxPlace({ identity: { name: 'Ann "A" Lee', email: 'ann@example.org' } })
  const box = here.box()
  await box.prepare()
  writeFileSync(join(here.workspace, 'package.json'), '{"name": "pack", "version": "1.0.0"}')
  const words = here.words(box, `set -e\n${text}`, { env: { PATH, ...env } })
  const { status, stdout, stderr } = spawnSync(words.argv[0]!, words.argv.slice(1), {
    ...{ cwd: words.cwd, env: words.env, encoding: 'utf8' },
  })
  await box.end()
  assert.equal(status, 0, stderr)
  return stdout.trim()
}

test("git commits with the machine's identity", { skip: without('git') }, async () => {
  const text = `git init -q; git add .; git commit -qm first; git log --format='%an <%ae>'; git status --porcelain`
  assert.equal(await inside(text), 'Ann "A" Lee <ann@example.org>')
})

test('git works in a repository of a user that the box does not know', {
  skip: without('git') || notRoot(),
}, async () => {
  using here = boxPlace()
  spawnSync('git', ['init', '-q'], { cwd: here.workspace })
  writeFileSync(join(here.workspace, 'file'), '')
  spawnSync('chown', ['-R', '12345:12345', here.workspace])
  const box = here.box()
  await box.prepare()
  const text = 'ls -ln file | cut -d" " -f3; git status --porcelain'
  const { argv, cwd, env } = here.words(box, text, { env: { PATH } })
  const { stdout, stderr } = spawnSync(argv[0]!, argv.slice(1), { cwd, env, encoding: 'utf8' })
  await box.end()
  assert.deepEqual([stdout, stderr], ['65534\n?? file\n', ''])
})

test('npm packs, and node runs', { skip: without('npm') }, async () => {
  const text = `npm pack --silent; node -p 'require("./package.json").name + os.homedir() + os.tmpdir()'`
  assert.equal(
    await inside(text, { npm_config_update_notifier: 'false' }),
    'pack-1.0.0.tgz\npack/home/errand/tmp',
  )
})

test('python creates a virtual environment', { skip: without('python3') }, async () => {
  const text = `/usr/bin/python3 -m venv --without-pip env; env/bin/python -c 'import ssl, tempfile, getpass; print(tempfile.gettempdir(), getpass.getuser())'`
  assert.equal(await inside(text), '/tmp errand')
})

test('a C compiler works, and its programs run', { skip: without('cc') }, async () => {
  const text = `echo '#include <stdio.h>\nint main(void) { puts("compiled"); }' >a.c; cc a.c -o a; ./a`
  assert.equal(await inside(text), 'compiled')
})

test('names and the locale are those of a plain user on a plain machine', { skip }, async () => {
  const text = `id -un; id -gn; hostname; getent hosts localhost | cut -d' ' -f1; LC_ALL=C.UTF-8 locale charmap; test -w "$HOME"; test -w /dev/shm; echo >/dev/null; test -c /dev/urandom; tty || true; find / -xdev -type d -writable 2>/dev/null`
  const lines = (await inside(text)).split('\n')
  assert.deepEqual(lines.slice(0, 3), ['errand', 'errand', 'errand'])
  assert.ok(['127.0.0.1', '::1'].includes(lines[3]!))
  assert.deepEqual(lines.slice(4, 6), ['UTF-8', 'not a tty'])
  // Their memory is limited, like that of /dev/shm.
  const writable = lines.slice(6).filter((path) => !path.endsWith('/workspace'))
  assert.deepEqual(writable.sort(), ['/home/errand', '/tmp'])
})

/** Program that tries the setup as a plain user, in one file, since that user may read no other. */
const AS_USER = `
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { Boxes } from ${JSON.stringify(new URL('./boxes.ts', import.meta.url).pathname)}
import { findBubblewrap } from ${JSON.stringify(new URL('./probe.ts', import.meta.url).pathname)}
const dir = process.argv[2]
const bubblewrap = await findBubblewrap({ env: process.env })
for (const name of ['work', 'attempt']) mkdirSync(dir + '/' + name)
const boxes = new Boxes({ stateDir: dir + '/state', bubblewrap, least: 'sandbox', hidden: [] })
const box = boxes.box({ isolation: 'sandbox', network: 'none' }, dir + '/attempt', 'key')
await box.prepare()
const launch = {
  argv: ['/bin/sh', '-c', 'id -un; touch made; cat ' + dir + '/attempt/box/args.main 2>&1; ls -ln made | cut -d" " -f3; sleep 1000 & echo'],
  cwd: dir + '/work', env: { PATH: process.env.PATH },
}
const { argv, env } = box.enclose(launch, { writable: [dir + '/work'], readable: [] }, 'main')
const { stdout, stderr } = spawnSync(argv[0], argv.slice(1), { cwd: launch.cwd, env, encoding: 'utf8' })
console.log(JSON.stringify({ bubblewrap, stdout, stderr, uid: process.getuid(), gone: await box.end() }))
`

test('a plain user can have boxes just like root', {
  skip: without('node') || notRoot(),
}, async () => {
  using here = boxPlace()
  const file = join(here.workspace, 'as-user.cjs')
  await build({
    ...{
      stdin: {
        contents: AS_USER,
        resolveDir: import.meta.dirname,
        loader: 'ts',
      },
    },
    ...{
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: file.replace('.cjs', '.mjs'),
      logLevel: 'silent',
    },
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)",
    },
  })
  const user = ['--reuid=65534', '--regid=65534', '--clear-groups', '--']
  spawnSync('chmod', ['-R', 'a+rX', here.path])
  const own = join(here.path, 'own')
  spawnSync('install', ['-d', '-o', '65534', '-g', '65534', own])
  const words = [...user, findProgram('node', PATH, '/')!, file.replace('.cjs', '.mjs'), own]
  const { stdout, stderr } = spawnSync('setpriv', words, {
    encoding: 'utf8',
    cwd: '/',
    env: { PATH, TMPDIR: own },
  })
  assert.match(stdout, /^\{/, stderr)
  const result = JSON.parse(stdout)
  assert.equal(result.bubblewrap.type, 'usable', JSON.stringify(result))
  assert.deepEqual([result.uid, result.gone, result.stderr], [65534, true, ''])
  assert.match(result.stdout, /^errand\ncat: .*No such file or directory\n1000\n/)
  assert.ok(existsSync(join(own, 'work/made')))
})

function notRoot(): string | false {
  return process.getuid?.() === 0 ? false : 'it takes root'
}
