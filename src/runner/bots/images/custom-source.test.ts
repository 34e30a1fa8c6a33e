import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { baseImage, dockerHere } from '../../../../test/support/docker/docker.ts'
import { imagesUnderTest } from '../../../../test/support/docker/images-under-test.ts'
import { rawTar, rawZip } from '../../../../test/support/sources/archive-fixture.ts'
import { makeRepository, serveGit } from '../../../../test/support/sources/git-fixture.ts'

const skip = await dockerHere()

/** Builds archives that contain these files. */
async function archivesUnderTest(t: TestContext, env: Readonly<Record<string, string>> = {}) {
  await baseImage('busybox:latest')
  const images = await imagesUnderTest(t, env)
  const dir = mkdtempSync(join(tmpdir(), 'errand-archives-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const build = (
    files: Record<string, string>,
    { dockerfile = 'Dockerfile', signal }: { dockerfile?: string; signal?: AbortSignal } = {},
  ) => {
    const file = join(dir, 'upload')
    writeFileSync(file, rawTar(Object.entries(files).map(([name, content]) => ({ name, content }))))
    return images.prepare(
      { mode: 'archive', upload: '0f'.repeat(32), dockerfile },
      { upload: async () => file, ...(signal && { signal }) },
    )
  }
  return { ...images, build }
}

test('an archive becomes the image of its Dockerfile, without the files that .dockerignore names', {
  skip,
}, async (t) => {
  const { build, run, phases, lines, docker } = await archivesUnderTest(t)
  const files = {
    'docker/bot.Dockerfile': `ARG TAG=latest
FROM errand.test/busybox:$TAG AS build
RUN echo built \\
  > /word
FROM errand.test/busybox
COPY . /app
COPY --from=build /word /word
COPY --from=errand.test/busybox /etc/passwd /copied
CMD cat /word /app/file && ls -1 /app && wc -l < /copied
`,
    file: 'text\n',
    'secret.txt': 'secret',
    '.dockerignore': 'secret.txt\n',
  }
  const { id, title } = await build(files, { dockerfile: './docker/bot.Dockerfile' })
  assert.equal(await run(id), 'built\ntext\ndocker\nfile\n2\n')
  assert.equal(title, 'archive 0f0f0f0f0f0f')
  assert.deepEqual(phases, ['building'])
  assert.ok(
    lines.some((line) => line.startsWith('Step 1/')),
    lines.join('\n'),
  )
  assert.equal((await build(files, { dockerfile: 'docker/bot.Dockerfile' })).id, id)
  // The image of the earlier stage can be found too, for a later removal.
  const unnamed = await docker.engine.listImages({ filters: { dangling: ['true'] } })
  const runner = (await docker.engine.getImage(id).inspect()).Config.Labels['errand.runner']
  assert.ok(unnamed.some(({ Labels }) => Labels?.['errand.runner'] === runner))
})

test('a zip is built like a tar, with its links as links, and with a Dockerfile behind a link', {
  skip,
}, async (t) => {
  const { prepare, run } = await imagesUnderTest(t)
  await baseImage('busybox:latest')
  const dir = mkdtempSync(join(tmpdir(), 'errand-zips-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const file = join(dir, 'upload')
  const link = (name: string, content: string) => ({ name, content, mode: 0o120777 })
  writeFileSync(
    file,
    rawZip([
      link('Dockerfile', 'current/bot.Dockerfile'),
      link('current', 'docker/v1'),
      link('.dockerignore', 'docker/ignored'),
      link('word', 'words/first'),
      link('all', 'words'),
      {
        name: 'docker/v1/bot.Dockerfile',
        content:
          'FROM errand.test/busybox\nCOPY . /app\nCMD cat /app/all/first; ls -l /app | wc -l; readlink /app/word\n',
      },
      { name: 'docker/ignored', content: 'docker\nsecret\n' },
      { name: 'secret', content: 'secret' },
      { name: 'words/first', content: 'word\n' },
    ]),
  )
  const upload = async () => file
  const source = { mode: 'archive', upload: '0f'.repeat(32), dockerfile: 'Dockerfile' } as const
  const { id } = await prepare(source, { upload })
  // Dockerfile, all, current, docker with its own content, word, words; and a line before them.
  assert.equal(await run(id), 'word\n7\nwords/first\n')
  writeFileSync(file, rawZip([link('Dockerfile', '../upload'), { name: 'a' }]))
  await assert.rejects(prepare(source, { upload }), {
    code: 'source_refused',
    message: /"Dockerfile" is a link that leads out/,
  })
  writeFileSync(file, rawZip([link('Dockerfile', 'not-there'), { name: 'a' }]))
  await assert.rejects(prepare(source, { upload }), {
    code: 'source_refused',
    message: 'There is no file "Dockerfile" to build from.',
  })
})

test("the image of a stage labelled as another runner's can be found again too", {
  skip,
}, async (t) => {
  const { build, docker } = await archivesUnderTest(t)
  const { id } = await build({
    Dockerfile: `FROM errand.test/busybox AS build
LABEL errand.runner=another
RUN echo built > /word
FROM errand.test/busybox
COPY --from=build /word /word
`,
  })
  const runner = (await docker.engine.getImage(id).inspect()).Config.Labels['errand.runner']
  const filters = { dangling: ['true'], label: [`errand.runner=${runner}`] }
  assert.equal((await docker.engine.listImages({ filters })).length, 1)
})

test('a failed build shows its last lines, and one that takes too long is ended', { skip }, async (t) => {
  const { build, docker } = await archivesUnderTest(t, { ERRAND_BUILD_SECONDS: '5' })
  await assert.rejects(
    build({ Dockerfile: 'FROM errand.test/busybox\nRUN echo so far; echo it failed >&2; exit 3' }),
    {
      code: 'build_failed',
      message: /returned a non-zero code: 3.*so far.*it failed/s,
    },
  )
  await assert.rejects(build({ Dockerfile: 'FROM errand.test/busybox\nRUN sleep 1000' }), {
    code: 'build_failed',
    message: /^The build took longer than 5 s/,
    hint: /ERRAND_BUILD_SECONDS/,
  })
  const reason = new Error('no more')
  await assert.rejects(
    build({ Dockerfile: 'FROM errand.test/busybox' }, { signal: AbortSignal.abort(reason) }),
    reason,
  )
  // A base image with an instruction for builds on top of it.
  const name = docker.name('trigger')
  const container = await docker.engine.createContainer({
    Image: 'errand.test/busybox',
    Labels: docker.labels,
  })
  await container.commit({ repo: name, changes: 'ONBUILD COPY --from=errand.test/busybox / /' })
  const { build: second } = await archivesUnderTest(t, { ERRAND_LOCAL_IMAGES: name })
  await assert.rejects(second({ Dockerfile: `FROM ${name}` }), {
    code: 'source_refused',
    message: /has an ONBUILD/,
  })
})

test("volumes hold what the bot's image has there, and do not exist during its build", {
  skip,
}, async (t) => {
  const { build, engine, docker } = await archivesUnderTest(t)
  const { id } = await build({
    Dockerfile: `FROM errand.test/busybox
ENV DATA=/var/data
VOLUME $DATA /more
VOLUME ["/my data"]
RUN ! grep -E ' (/var/data|/more|/my)' /proc/mounts
RUN mkdir /more && echo seed >/more/seed
CMD ["sh", "-c", "mount | grep -E ' on (/var/data|/more|/my data) ' | grep -vc tmpfs; cat /more/seed"]
`,
  })
  const { Config } = await docker.engine.getImage(id).inspect()
  assert.deepEqual(Object.keys(Config.Volumes ?? {}), [])
  const { id: container } = await engine.create({
    name: docker.name('volumes'),
    image: id,
    env: {},
    limits: { memoryBytes: 64 * 1024 ** 2, cpus: 0.5, processes: 20, tmpBytes: 1024 ** 2 },
    logBytes: 1024 ** 2,
    stopGraceSeconds: 1,
    labels: { runner: Config.Labels['errand.runner']! },
  })
  await engine.start(container)
  let printed = ''
  for await (const { bytes } of engine.logs(container, {
    follow: true,
    signal: new AbortController().signal,
  }))
    printed += bytes
  assert.equal(printed, '3\nseed\n')
  // A base image has real ones: a few are accepted.
  const base = async (title: string, volumes: string) => {
    const name = docker.name(title)
    const from = await docker.engine.createContainer({ Image: 'errand.test/busybox', Labels: docker.labels })
    await from.commit({ repo: name, changes: `VOLUME ${volumes}` })
    return name
  }
  const few = await base('few', '/1 /2')
  const many = await base('many', '/1 /2 /3 /4 /5')
  const { build: second } = await archivesUnderTest(t, { ERRAND_LOCAL_IMAGES: `${few},${many}` })
  await second({ Dockerfile: `FROM ${few}` })
  await assert.rejects(second({ Dockerfile: `FROM ${many}` }), {
    code: 'source_refused',
    message: /has 5 volumes; at most 4 are supported/,
  })
})

test('an archive without its Dockerfile, or with a refused one, builds nothing', {
  skip,
}, async (t) => {
  const { build, lines } = await archivesUnderTest(t)
  await assert.rejects(build({ 'bot/Dockerfile': 'FROM x', 'bot/bot.py': '' }), {
    code: 'source_refused',
    message: 'There is no file "Dockerfile" to build from.',
    hint: /bot\/Dockerfile/,
  })
  await assert.rejects(build({ 'bot.py': '' }), { code: 'source_refused', hint: /simple mode/ })
  await assert.rejects(build({ Dockerfile: 'FROM errand.test/busybox' }, { dockerfile: '../Dockerfile' }), {
    code: 'source_refused',
    message: /leads out/,
  })
  await assert.rejects(build({ Dockerfile: 'FROM errand.test/busybox\nADD http://127.0.0.1/ /x' }), {
    code: 'source_refused',
    message: /^Line 2/,
  })
  await assert.rejects(build({ Dockerfile: 'FROM errand.test/busybox', '.dockerignore/x': '' }), {
    code: 'source_refused',
    message: 'Entry ".dockerignore" is a folder.',
  })
  await assert.rejects(build({ Dockerfile: 'FROM errand-bot/0f/built:other' }), { code: 'invalid_argument' })
  await assert.rejects(build({ '../x': '', Dockerfile: 'FROM errand.test/busybox' }), {
    code: 'source_refused',
  })
  assert.deepEqual(
    lines.filter((line) => line.startsWith('Step')),
    [],
  )
})

test('neither a stage name nor a base image leads to the image of another user', { skip }, async (t) => {
  const { build, engine, docker } = await archivesUnderTest(t, { ERRAND_LOCAL_IMAGES: 'errand*' })
  const dockerfile = (secret: number) => `FROM errand.test/busybox\nRUN echo ${secret} >/secret\n`
  let { id } = await build({ Dockerfile: dockerfile(0) })
  // A stage begins with a letter.
  for (let secret = 1; !/:[a-f]/.test(id); secret++)
    ({ id } = await build({ Dockerfile: dockerfile(secret) }))
  const stolen = id.slice('sha256:'.length, 'sha256:'.length + 12)
  assert.equal((await engine.image(stolen))?.id, id)
  for (const name of [stolen, stolen.slice(0, 6), stolen.toUpperCase()])
    await assert.rejects(
      build({ Dockerfile: `FROM errand.test/busybox AS ${name}\nCOPY --from=${name} /secret /stolen\n` }),
      { code: 'source_refused', message: /^Line 2 .* is not an earlier stage/ },
    )
  // An image made by other means than a Dockerfile can contain this.
  const container = await docker.engine.createContainer({
    Image: 'errand.test/busybox',
    Labels: docker.labels,
    OnBuild: [`COPY \\\n--from=${stolen} /secret /stolen`],
  })
  const name = docker.name('base')
  await container.commit({ repo: name })
  await assert.rejects(build({ Dockerfile: `FROM ${name}\n` }), {
    code: 'source_refused',
    message: /has an ONBUILD/,
  })
})

test('a repository becomes the image of its commit', { skip }, async (t) => {
  await baseImage('busybox:latest')
  const root = mkdtempSync(join(tmpdir(), 'errand-git-'))
  t.after(() => rmSync(root, { recursive: true }))
  const commit = makeRepository(join(root, 'bot.git'), [
    { path: 'Dockerfile', content: 'FROM errand.test/busybox\nCOPY word /word\nCMD ["cat", "/word"]\n' },
    { path: 'word', content: 'from git\n' },
  ])
  const host = await serveGit(root)
  t.after(() => host.close())
  const { prepare, run } = await imagesUnderTest(t, { ERRAND_GIT_ALLOW: host.origin() })
  const url = `${host.origin()}/bot.git`
  const { id, title } = await prepare({ mode: 'git', url, ref: 'v1', dockerfile: 'Dockerfile' })
  assert.equal(await run(id), 'from git\n')
  assert.equal(title, `${url}@${commit.slice(0, 12)}`)
})
