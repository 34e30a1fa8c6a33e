import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { buildContext } from '../../../../test/support/docker/build-fixture.ts'
import { baseImage, dockerFor, dockerHere } from '../../../../test/support/docker/docker.ts'
import { imagesUnderTest } from '../../../../test/support/docker/images-under-test.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { readProgress } from '../../../docker/docker-answers.ts'
import { despiteRemovals } from '../../../docker/docker-errors.ts'
import type { DockerEngine, ImageInfo } from '../../docker/docker-engine.ts'
import type { ImageOrder } from './image-order.ts'
import { type ImageSupply, imageSettings, baseImage as supplied } from './image-supply.ts'
import { PulledNames } from './pulled-names.ts'

const skip = await dockerHere()
type Simple = Extract<ImageOrder['source'], { mode: 'simple' }>

const python = (files: Record<string, string>, more: Partial<Simple> = {}): Simple => ({
  mode: 'simple',
  files,
  entrypoint: Object.keys(files)[0]!,
  requirements: [],
  base_image: 'errand.test/python:3.11-slim',
  ...more,
})

/** Makes the fake Python image with a folder of wheels that pip installs from: a package "greeting" of version 1.2. */
async function pythonWithWheels(t: TestContext): Promise<string> {
  const docker = dockerFor(t)
  const base = await baseImage('python:3.11-slim')
  const files = {
    Dockerfile: `FROM ${base}
COPY greeting /src
RUN cd /src && python -m pip wheel --no-build-isolation --no-deps -w /wheels .
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels
`,
    'greeting/setup.py':
      "from setuptools import setup; setup(name='greeting', version='1.2', py_modules=['greeting'])",
    'greeting/greeting.py': "TEXT = 'hello from the wheel'",
  }
  const name = `${docker.name('wheels')}:latest`
  await despiteRemovals(async () => {
    const answer = await docker.engine.buildImage(buildContext(files), { t: name, labels: docker.labels })
    assert.notEqual(await readProgress(answer as AsyncIterable<Buffer>, () => {}), undefined)
  })
  return name
}

test('Python files become an image that runs the entrypoint, not as root', { skip }, async (t) => {
  await baseImage('python:3.11-slim')
  const { prepare, run, phases, engine } = await imagesUnderTest(t)
  const { id, title } = await prepare(
    python({
      'my bot/start "it".py': `
import os, sys
sys.path.insert(0, '/app')
from lib.texts import HELLO
print(HELLO, os.getuid(), os.getcwd(), os.environ['HOME'], os.path.basename(sys.argv[0]))
`,
      'lib/texts.py': "HELLO = 'hello'",
      'node_modules/kept.txt': 'kept',
    }),
  )
  assert.equal(title, 'errand.test/python:3.11-slim')
  assert.equal(await run(id), 'hello 65532 /app /tmp start "it".py\n')
  assert.deepEqual(phases, ['building'])
  const { labels, names } = (await engine.image(id))!
  assert.equal(labels['errand.owner'], 'default/ann')
  assert.equal(labels['errand.attempt'], undefined)
  assert.match(names[0]!, /^errand-bot\/[0-9a-f]{40}\/built:my-Bot$/)
})

test('a refresh reinstalls requirements, and only then finds a version released since', {
  skip,
}, async (t) => {
  const { prepare, run } = await imagesUnderTest(t, { ERRAND_LOCAL_IMAGES: 'errand-test-*' })
  const docker = dockerFor(t)
  // Its folder of wheels has a newer version of "greeting" at each look.
  const newest = `import os, time, zipfile
version = str(time.time_ns())
os.makedirs('/tmp/wheels', 0o777, exist_ok=True)
os.chmod('/tmp/wheels', 0o777) if os.getuid() == 0 else None
info = 'greeting-' + version + '.dist-info/'
with zipfile.ZipFile('/tmp/wheels/greeting-' + version + '-py3-none-any.whl', 'w') as wheel:
    wheel.writestr('greeting.py', 'VERSION = ' + version)
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: greeting\\nVersion: ' + version)
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any')
    wheel.writestr(info + 'RECORD', '')
`
  const context = buildContext({
    Dockerfile: `FROM ${await baseImage('python:3.11-slim')}
COPY sitecustomize.py /site/
ENV PYTHONPATH=/site PIP_NO_INDEX=1 PIP_FIND_LINKS=/tmp/wheels
`,
    'sitecustomize.py': newest,
  })
  const base_image = `${docker.name('newest')}:latest`
  const answer = await docker.engine.buildImage(context, { t: base_image, labels: docker.labels })
  assert.notEqual(await readProgress(answer as AsyncIterable<Buffer>, () => {}), undefined)
  const source = python(
    { 'bot.py': 'import greeting; print(greeting.VERSION)' },
    { requirements: ['greeting'], base_image },
  )
  const version = async (refresh?: boolean) => BigInt(await run((await prepare(source, { refresh })).id))
  const first = await version()
  assert.equal(await version(), first)
  const second = await version(true)
  assert.ok(second > first)
  assert.equal(await version(), second)
})

test("an operator's base image is looked up again on request, if it is available", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'errand-base-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const image = (id: string): ImageInfo => ({
    ...{ id, names: [], digests: [], labels: {}, sizeBytes: 1, createdAt: '' },
  })
  let pulls = 0
  const engine = {
    image: async () => image(pulls === 0 ? 'sha256:old' : 'sha256:new'),
    pull: async () => {
      if (++pulls > 1) throw new ErrandError('unavailable', 'The registry does not answer.')
      return image('sha256:new')
    },
  } as Partial<DockerEngine> as DockerEngine
  const lines: string[] = []
  const idOf = async (refresh: boolean, env: Record<string, string> = {}) => {
    const supply: ImageSupply = {
      engine,
      settings: imageSettings(env),
      pulledNames: new PulledNames(dir, engine),
      buildTurn: () => Promise.reject(new Error('nothing is built here')),
      refresh,
      progress: (line) => lines.push(line),
      signal: new AbortController().signal,
    }
    return (await supplied('python:3.11-slim', supply)).id
  }
  assert.equal(await idOf(false), 'sha256:old')
  assert.equal(await idOf(true, { ERRAND_LOCAL_IMAGES: 'python' }), 'sha256:old')
  assert.equal(pulls, 0)
  assert.equal(await idOf(true), 'sha256:new')
  assert.equal(pulls, 1)
  assert.equal(await idOf(true), 'sha256:new')
  assert.match(
    lines.join('\n'),
    /could not be pulled again, so the local copy is used: The registry does not answer/,
  )
})

test('a change of code alone does not reinstall the requirements', { skip }, async (t) => {
  // Its images are removed before the one that they are built on.
  const { prepare, run, lines } = await imagesUnderTest(t, { ERRAND_LOCAL_IMAGES: 'errand-test-*' })
  const wheels = await pythonWithWheels(t)
  const bot = (more: string) =>
    python(
      { 'bot.py': `import greeting; print(greeting.TEXT${more})`, 'requirements.txt': '# none\n' },
      { requirements: ['greeting>=1.0; python_version >= "3"'], base_image: wheels },
    )
  assert.equal(await run((await prepare(bot(''))).id), 'hello from the wheel\n')
  assert.ok(
    lines.some((line) => line.includes('Successfully installed greeting-1.2')),
    lines.join('\n'),
  )
  lines.length = 0
  const changed = await prepare(bot(' + "!"'))
  assert.equal(await run(changed.id), 'hello from the wheel!\n')
  assert.ok(!lines.some((line) => line.includes('Successfully installed')), lines.join('\n'))
  assert.equal((await prepare(bot(' + "!"'))).id, changed.id)
  await assert.rejects(
    prepare(python({ 'bot.py': '' }, { requirements: ['nowhere==1'], base_image: wheels })),
    {
      code: 'build_failed',
      message: /No matching distribution found for nowhere/,
    },
  )
})

test('Node files become an image with npm packages', { skip }, async (t) => {
  await baseImage('node:20-slim')
  const { prepare, run } = await imagesUnderTest(t)
  const { id } = await prepare({
    mode: 'simple',
    files: { 'bot.mjs': "import ms from 'ms'; console.log(String(ms('2 days')), process.env.NODE_ENV)" },
    entrypoint: 'bot.mjs',
    requirements: ['ms@^2.1'],
    base_image: 'errand.test/node:20-slim',
  })
  assert.equal(await run(id), '172800000 production\n')
})

test('a refused source says which one and what to do, and builds nothing', { skip }, async (t) => {
  await baseImage('python:3.11-slim')
  const { prepare, lines } = await imagesUnderTest(t)
  const refused = async (source: Simple, expected: { code: string; message: RegExp; hint?: RegExp }) => {
    lines.length = 0
    await assert.rejects(prepare(source), expected)
    assert.deepEqual(
      lines.filter((line) => line.startsWith('Step')),
      [],
    )
  }
  await refused(python({ 'bot.py': '' }, { entrypoint: 'other.py' }), {
    code: 'invalid_argument',
    message: /"other.py" is not among the files/,
    hint: /bot\.py/,
  })
  await refused(python({ '../bot.py': '' }), { code: 'source_refused', message: /"\.\.\/bot\.py" leads out/ })
  await refused(python({ 'bot.py': '', 'Bot.py': '' }), { code: 'source_refused', message: /collides/ })
  await refused(python({ bot: '' }, { base_image: undefined }), {
    code: 'invalid_argument',
    message: /does not identify a language/,
  })
  await refused(python({ 'bot.py': '' }, { requirements: ['ok', 'x\nRUN id'] }), {
    code: 'source_refused',
    message: /^Line 2 of requirements contains a line break/,
  })
  await refused(python({ 'bot.py': '', 'requirements.txt': 'a\n-r /etc/passwd' }), {
    code: 'source_refused',
    message: /^Line 2 of requirements\.txt is an option/,
  })
  await refused(python({ 'bot.py': '' }, { base_image: 'python\nRUN id' }), {
    code: 'invalid_argument',
    message: /is not a valid image name/,
  })
})
