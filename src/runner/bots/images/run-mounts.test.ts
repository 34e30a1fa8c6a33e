import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { baseImage, dockerHere } from '../../../../test/support/docker/docker.ts'
import { imagesUnderTest } from '../../../../test/support/docker/images-under-test.ts'
import { rawTar } from '../../../../test/support/sources/archive-fixture.ts'
import { dockerfileText, parseDockerfile } from './dockerfile.ts'
import { pinnedDockerfile } from './pinned-dockerfile.ts'

const skip = await dockerHere()
/** Home of the user that builds. */
const HOME = '/root'

/** Returns the lines for the engine. */
async function pinned(text: string, shell?: string[]): Promise<string[]> {
  const file = await pinnedDockerfile(parseDockerfile(text), async (name) => ({
    ...{ id: `sha256:${name}`, names: [], digests: [], labels: {}, sizeBytes: 0, createdAt: '' },
    ...(shell && { shell }),
  }))
  return dockerfileText(file).trim().split('\n').slice(1)
}

/** Returns the command of the last RUN, as an engine starts it. */
async function command(text: string, shell?: string[]): Promise<string[]> {
  const run = (await pinned(text, shell)).at(-1)!
  return JSON.parse(run.replace(/^RUN /, '')) as string[]
}

test('a RUN with caches is the same command in the same shell, in empty folders', async () => {
  const cache = `--mount=type=cache,target=${HOME}/.cache/pip`
  const inner = async (text: string, shell?: string[]) => (await command(text, shell)).slice(7)
  assert.deepEqual((await command(`FROM a\nRUN ${cache} pip install -r x`)).slice(4), [
    `${HOME}/.cache/pip`,
    '0755',
    '-',
    '/bin/sh',
    '-c',
    'pip install -r x',
  ])
  assert.deepEqual(await inner(`FROM a\nrun ${cache} \\\n  # in between\n  a "b  c" \\\n  && d # e`), [
    '/bin/sh',
    '-c',
    'a "b  c"   && d # e',
  ])
  assert.deepEqual(await inner(`FROM a\nRUN ${cache} ["pip", "a b"]`), ['pip', 'a b'])
  assert.deepEqual(await inner(`FROM a\nRUN ${cache} [ -e x ]`), ['/bin/sh', '-c', '[ -e x ]'])
  const bash = ['/bin/bash', '-o', 'pipefail', '-c']
  assert.deepEqual(await inner(`FROM a\nSHELL ${JSON.stringify(bash)}\nRUN ${cache} x`), [...bash, 'x'])
  assert.deepEqual(await inner(`FROM a\nRUN ${cache} x`, bash), [...bash, 'x'])
  const stages = `FROM a AS One\nSHELL ["/bin/ash", "-c"]\nFROM b\nFROM one\nRUN ${cache} x`
  assert.deepEqual(await inner(stages), ['/bin/ash', '-c', 'x'])
  assert.deepEqual(await inner(`FROM a AS one\nSHELL ["/bin/ash", "-c"]\nFROM b\nRUN ${cache} x`), [
    '/bin/sh',
    '-c',
    'x',
  ])
  const two = `FROM a
RUN --mount=type=cache,dst=/var/cache/apt/archives/,sharing=locked,id=x --mount=mode=700,uid=5,gid=6,type=cache,destination=/var/./cache x`
  const [outer, within] = [(await command(two)).slice(4, 7), (await command(two)).slice(11, 14)]
  assert.deepEqual(outer, ['/var/cache', '700', '5:6'])
  assert.deepEqual(within, ['/var/cache/apt/archives', '0755', '-'])
  assert.equal(
    (await pinned(`FROM a\nRUN x --mount=type=cache,target=/x`)).at(-1),
    'RUN x --mount=type=cache,target=/x',
  )
})

test('other mounts and options of RUN are refused, and the error says what to write instead', async () => {
  const refused: [string, RegExp, RegExp][] = [
    ['--mount=type=bind,target=/x', /^Line 2 .*type=bind/, /COPY the files/],
    ['--mount=target=/x', /type=bind/, /COPY the files/],
    ['--mount=type=secret,id=x', /type=secret/, /no secrets/],
    ['--mount=type=ssh', /type=ssh/, /no keys/],
    ['--mount=type=tmpfs,target=/x', /type=tmpfs/, /\/tmp/],
    ['--mount=type=other', /type=other/, /Remove the mount/],
    ['--mount=type=cache,target=/x --mount=type=bind,target=/y', /type=bind/, /COPY/],
    ['--mount=type=cache,target=/x,from=b', /from=/, /COPY/],
    ['--mount=type=cache,target=/x,source=b', /from=/, /COPY/],
    ['--mount=type=cache', /without a target/, /type=cache,target=/],
    ['--mount=type=cache,target=/', /contains everything/, /target=/],
    ['--mount=type=cache,target=a/../..', /contains everything/, /target=/],
    ['--mount=type=cache,target=/x,', /""/, /target=/],
    ['--mount=type=cache,target=/x,size=1', /"size"/, /target=/],
    ['--mount=type=cache,target=/x,mode=u+s', /not a number/, /mode=0755/],
    ['--mount=type=cache,target=/x,uid=-1', /not a number/, /uid=/],
    ['--mount=type=cache,target="/x"', /form that is not supported/, /./],
    ['--mount=type=cache,target=$X', /form that is not supported/, /./],
    ['--mount=type=cache,target=/à', /form that is not supported/, /./],
    ['--mount type=cache', /form that is not supported/, /./],
    ['--network=host', /the option --network/, /Remove it/],
    ['--security=insecure', /the option --security/, /Remove it/],
  ]
  for (const [flags, message, hint] of refused)
    await assert.rejects(pinned(`FROM a\nRUN ${flags} x`), { code: 'source_refused', message, hint }, flags)
  await assert.rejects(pinned('FROM a\nRUN --mount=type=cache,target=/x'), { message: /has no command/ })
  await assert.rejects(pinned('FROM a\nRUN --mount=type=cache,target=/x cat <<EOF'), {
    message: /<</,
  })
  // If a backslash is not an escape, it is not one within the quotes of the list either.
  const quoted = '# escape=`\nFROM a\nRUN --mount=type=cache,target=/x echo " <<EOF'
  await assert.rejects(pinned(quoted), { code: 'source_refused', message: /<</ })
  await assert.rejects(pinned('FROM a\nONBUILD RUN --mount=type=cache,target=/x y'), { message: /ONBUILD/ })
})

test('existing files at a target are hidden from the command and restored after it, no matter what it does', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'errand-mounts-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const run = async (target: string, script: string, more = '') => {
    const [program, ...args] = await command(
      `FROM a\nRUN --mount=type=cache,target=${target}${more} ${script}`,
    )
    return spawnSync(program!, args, { cwd: dir, encoding: 'utf8' })
  }
  mkdirSync(join(dir, 'there'))
  writeFileSync(join(dir, 'there/kept'), 'kept')
  chmodSync(join(dir, 'there'), 0o700)
  const before = execFileSync('ls', ['-lAnR', '--full-time', 'there'], { cwd: dir, encoding: 'utf8' })
  const first = await run(
    join(dir, 'there'),
    'ls -a there | wc -l; touch there/new; mkdir -m 000 there/d; exec false',
  )
  assert.deepEqual([first.status, first.stdout.trim()], [1, '2'], first.stderr)
  assert.equal(execFileSync('ls', ['-lAnR', '--full-time', 'there'], { cwd: dir, encoding: 'utf8' }), before)
  const second = await run('sub/-new', 'trap : EXIT; stat -c %a sub/-new; exit 7', ',mode=750')
  assert.deepEqual([second.status, second.stdout], [7, '750\n'], second.stderr)
  assert.deepEqual(readdirSync(join(dir, 'sub')), [])
  const twice = `,mode=755 --mount=type=cache,target=./there`
  assert.equal((await run('there', 'touch there/x', twice)).status, 0)
  assert.equal(readFileSync(join(dir, 'there/kept'), 'utf8'), 'kept')
  symlinkSync('there', join(dir, 'link'))
  assert.equal((await run('link', 'rm -rf link')).status, 0)
  assert.equal(readFileSync(join(dir, 'link/kept'), 'utf8'), 'kept')
  assert.deepEqual(readdirSync(dir).sort(), ['link', 'sub', 'there'])
  const impossible = await run('/proc/here', 'echo run')
  assert.notEqual(impossible.status, 0)
  assert.equal(impossible.stdout, '')
})

test('a build with one or two pip caches works, and its layers contain neither', {
  skip,
}, async (t) => {
  const base = await baseImage('python:3.11-slim')
  const { prepare, run, docker, lines } = await imagesUnderTest(t)
  const dir = mkdtempSync(join(tmpdir(), 'errand-caches-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const file = join(dir, 'upload')
  const Dockerfile = `# syntax=docker/dockerfile:1
FROM ${base}
RUN mkdir -p /var/lib/own && echo kept > /var/lib/own/file
ENV PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY setup.py .
RUN --mount=type=cache,target=${HOME}/.cache/pip \\
    --mount=type=cache,target=/var/lib/own,sharing=locked \\
    test -z "$(ls -A ${HOME}/.cache/pip /var/lib/own | grep -v :)" \\
    && python -m pip wheel --no-build-isolation --no-deps -w /wheels . \\
    && head -c 3000000 /dev/urandom | tee ${HOME}/.cache/pip/large > /var/lib/own/large
CMD ls /wheels; cat /var/lib/own/file; ls -A /var/lib/own ${HOME}/.cache
`
  const setup = "from setuptools import setup; setup(name='greeting', version='1.2', py_modules=[])"
  writeFileSync(
    file,
    rawTar([
      { name: 'Dockerfile', content: Dockerfile },
      { name: 'setup.py', content: setup },
    ]),
  )
  const source = { mode: 'archive', upload: '0f'.repeat(32), dockerfile: 'Dockerfile' } as const
  const broken = `FROM ${base}\nRUN --mount=type=cache,target=/a --mount=type=cache,target=/b,uid=5 echo so far; exit 3`
  const whole = readFileSync(file)
  writeFileSync(file, rawTar([{ name: 'Dockerfile', content: broken }]))
  await assert.rejects(prepare(source, { upload: async () => file }), {
    code: 'build_failed',
    message: /The command '\/bin\/sh -c echo so far; exit 3' returned a non-zero code: 3/,
  })
  assert.ok(
    lines.some((line) => line.endsWith(': RUN ["/bin/sh","-c","echo so far; exit 3"]')),
    lines.join('\n'),
  )
  writeFileSync(file, whole)
  const { id } = await prepare(source, { upload: async () => file })
  assert.equal(await run(id), `greeting-1.2-py3-none-any.whl\nkept\n${HOME}/.cache:\n\n/var/lib/own:\nfile\n`)
  const [image, from] = await Promise.all([id, base].map((name) => docker.engine.getImage(name).inspect()))
  assert.ok(image!.Size - from!.Size < 1_000_000, `${image!.Size - from!.Size} bytes`)
})
