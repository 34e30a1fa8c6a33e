import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { pack } from 'tar-stream'
import { buildContext } from '../../../test/support/docker/build-fixture.ts'
import { dockerFor } from '../../../test/support/docker/docker.ts'
import { EngineCable } from '../../../test/support/docker/engine-cable.ts'
import { command, endOf } from '../../../test/support/runner/attempt-fixture.ts'
import {
  containerPlace,
  IMAGE,
  containersMissing as skip,
} from '../../../test/support/runner/container-fixture.ts'
import { readProgress } from '../../docker/docker-answers.ts'
import { imageBridge } from './container-image.ts'
import { PACKAGED_SOCAT } from './packaged-socat.ts'

/** Returns the end of a step in that image. */
async function endIn(t: TestContext, image: string, env: Record<string, string> = {}) {
  const here = containerPlace(t, { image, env })
  const attempts = here.open()
  const attempt = await attempts.start(command('true'), 1)
  const { outcome, reason, message = '' } = await endOf(attempt)
  const phases = attempt.reports.flatMap((each) => (each.type === 'phase' ? [each.message ?? ''] : []))
  assert.deepEqual(await here.left(), [])
  await attempts.close()
  return { outcome, reason, message, phases }
}

/** Makes an empty image, like one saved elsewhere. */
async function emptyImage(t: TestContext, architecture: string): Promise<string> {
  const { engine, labels, name } = dockerFor(t)
  const image = `${name('empty')}:1`
  const config = {
    architecture,
    os: 'linux',
    config: { Labels: labels },
    rootfs: { type: 'layers', diff_ids: [] },
  }
  const tar = pack()
  tar.entry({ name: 'config.json' }, JSON.stringify(config))
  tar.entry(
    { name: 'manifest.json' },
    JSON.stringify([{ Config: 'config.json', RepoTags: [image], Layers: [] }]),
  )
  tar.finalize()
  await engine.client.ask('POST', '/images/load', { tar: tar as unknown as Readable })
  return image
}

test('an image without a shell is refused before anything starts', { skip }, async (t) => {
  const image = await emptyImage(t, process.arch === 'arm64' ? 'arm64' : 'amd64')
  const { reason, message } = await endIn(t, image)
  assert.equal(reason, 'start_failed')
  assert.match(message, new RegExp(`^The image ${image} has no /bin/sh\\.`))
})

test('an image whose shell leaves a pipe or a device instead of its answer blocks nothing', {
  skip,
}, async (t) => {
  const { engine, labels, name } = dockerFor(t)
  for (const trap of ['mkfifo answer', 'ln -s /dev/zero answer']) {
    const replace = 'rm /bin/sh; cp /bin/trap /bin/sh; chmod 755 /bin/sh'
    const files = {
      Dockerfile: `FROM ${IMAGE}\nCOPY trap /bin/trap\nRUN ["/bin/busybox", "sh", "-c", "${replace}"]\n`,
      trap: `#!/bin/busybox sh\ncd "$3" && exec busybox ${trap}\n`,
    }
    const image = `${name('trap')}:1`
    const built = await engine.buildImage(buildContext(files), { t: image, labels })
    await readProgress(built as AsyncIterable<Buffer>, () => undefined)
    const { reason, message } = await endIn(t, image)
    assert.equal(reason, 'start_failed')
    assert.match(message, /does not see the files of this runner.*its exit code was 0/)
  }
})

test('an image of another architecture is refused, with both named', { skip }, async (t) => {
  const other = process.arch === 'arm64' ? 'amd64' : 'arm64'
  const image = await emptyImage(t, other)
  const { reason, message } = await endIn(t, image)
  assert.equal(reason, 'start_failed')
  assert.match(message, new RegExp(`^The image ${image} is built for ${other}, but this machine is \\w+\\.`))
})

test('a missing image is pulled, and the run says so', { skip }, async (t) => {
  const cable = await EngineCable.open(t)
  cable.on(/^GET \/images\/.*\/json$/, { status: 404, message: `No such image: ${IMAGE}` })
  cable.on(/^POST \/images\/create$/, { status: 200, message: '' })
  const { outcome, phases } = await endIn(t, IMAGE, { DOCKER_HOST: cable.address })
  assert.equal(outcome, 'success')
  assert.deepEqual(phases, [`Pulling the image ${IMAGE}.`, `Pulled the image ${IMAGE}.`])
})

test("a trial detects an engine that does not see its runner's files", { skip }, async (t) => {
  const cable = await EngineCable.open(t)
  const message = 'invalid mount config for type "bind": bind source path does not exist: /there'
  cable.on(/^POST \/containers\/create$/, { status: 400, message })
  const end = await endIn(t, IMAGE, { DOCKER_HOST: cable.address })
  assert.equal(end.reason, 'start_failed')
  assert.match(end.message, /does not see the files of this runner.*at the same paths/s)
})

test('a trial detects an engine that lets containers write to /proc', { skip }, async (t) => {
  const cable = await EngineCable.open(t)
  cable.change(/^POST \/containers\/create$/, ({ HostConfig }) => delete HostConfig.ReadonlyPaths)
  const { reason, message } = await endIn(t, IMAGE, { DOCKER_HOST: cable.address })
  assert.equal(reason, 'start_failed')
  assert.match(message, /does not prevent containers from writing to \/proc.*Docker 18\.09/s)
})

test("a program for another libc than the image's is refused, with both named", {
  skip,
}, async (t) => {
  const here = containerPlace(t)
  const box = here.boxes.box({ isolation: 'container', network: 'none', image: IMAGE }, here.path, 'libc')
  await box.prepare()
  const cwd = join(here.path, 'work')
  mkdirSync(cwd)
  const loader = '/lib/ld-musl-x86_64.so.1'
  const program = Buffer.alloc(400)
  program.write('\x7fELF\x02\x01', 'latin1')
  program.writeBigUInt64LE(64n, 32)
  program.writeUInt16LE(56, 54)
  program.writeUInt16LE(1, 56)
  program.writeUInt32LE(3, 64)
  program.writeBigUInt64LE(200n, 72)
  program.writeBigUInt64LE(BigInt(loader.length + 1), 96)
  program.write(loader, 200)
  writeFileSync(join(cwd, 'agent'), program, { mode: 0o755 })
  const launch = (PATH: string, name: string) => ({ argv: [name], cwd, env: { PATH } })
  const mounts = { writable: [cwd], readable: [] }
  for (const each of [launch('/bin', './agent'), launch(`/bin:${cwd}`, 'agent')])
    assert.throws(() => box.enclose(each, mounts, 'main'), {
      code: 'invalid_argument',
      message: `The program ${cwd}/agent is built for musl (${loader}), but the image ${IMAGE} has no libc.`,
    })
})

test('an engine that hangs during an image lookup is not waited for', { skip }, async (t) => {
  const cable = await EngineCable.open(t)
  cable.on(/^GET \/images\/.*\/json$/, 'held')
  const { reason, message } = await endIn(t, IMAGE, { DOCKER_HOST: cable.address })
  assert.equal(reason, 'start_failed')
  assert.match(message, /hangs: it did not look up the image/)
})

test('a bridge uses the tools that the image has', () => {
  const image = { name: 'image', tools: {}, runsNode: false } as Parameters<typeof imageBridge>[0]
  const first = (more: Partial<typeof image>) => imageBridge({ ...image, ...more }).command[0]
  assert.equal(first({ tools: { socat: '/bin/socat', node: '/bin/node' }, runsNode: true }), '/bin/socat')
  const bridge = imageBridge({ ...image, socat: '/state/socat-1', runsNode: true })
  assert.deepEqual(bridge.command.slice(0, 4), PACKAGED_SOCAT)
  assert.deepEqual(
    bridge.mounts.map(({ Source }) => Source),
    ['/state/socat-1'],
  )
  assert.equal(first({ tools: { node: '/bin/node' }, runsNode: true }), '/run/errand-node')
  assert.equal(first({ tools: { node: '/bin/node' } }), '/bin/node')
  assert.equal(first({ tools: { node: '/bin/node', setsid: '/bin/setsid' } }), '/bin/setsid')
  assert.throws(() => first({}), { code: 'invalid_argument' })
})
