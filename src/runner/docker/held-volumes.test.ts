import assert from 'node:assert/strict'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { baseImage, dockerFor, dockerHere } from '../../../test/support/docker/docker.ts'
import { until } from '../../../test/support/runner/attempt-fixture.ts'
import { DockerClient } from '../../docker/docker-client.ts'
import { createContainer } from './create-container.ts'
import { EMPTY_IMAGE, readVolume } from './held-volumes.ts'
import { namelessBytes, removeVolume, volumeBytes } from './volumes.ts'

const skip = await dockerHere()
const client = new DockerClient(process.env)

test("if the engine's disk is elsewhere, its folders are still opened, measured and released", {
  skip,
}, async (t) => {
  const docker = dockerFor(t)
  const { engine } = docker
  const base = await engine.createContainer({
    Image: await baseImage('busybox:latest'),
    Labels: docker.labels,
  })
  const repo = `errand.test/${docker.name('folder')}`
  await base.commit({ repo, changes: 'WORKDIR /app\nUSER 99' })
  const labels = { runner: docker.name('runner') }
  const volume = docker.name('data')
  const limits = { memoryBytes: 64 * 1024 ** 2, cpus: 0.5, processes: 20, tmpBytes: 1024 ** 2 }
  const { id, volumes } = await createContainer(
    client,
    { network: 'none', hasSeccomp: true, isHere: false },
    {
      ...{ name: docker.name('bot'), image: repo, env: {}, limits, labels, logBytes: 1024 ** 2 },
      command: [
        'sh',
        '-c',
        'head -c 2000000 /dev/zero >file && head -c 1000000 /dev/zero >/data/file && stat -c "%u %a" . /data',
      ],
      data: { volume, path: '/data' },
      stopGraceSeconds: 1,
    },
  )
  const container = engine.getContainer(id)
  await container.start()
  assert.equal((await container.wait()).StatusCode, 0)
  const log = await container.logs({ stdout: true })
  assert.match(log.toString(), /0 777\n.{0,8}0 777\n/s)
  const look = { enoughBytes: Number.POSITIVE_INFINITY, isHere: false, folders: new Map<string, string>() }
  const bytes = await volumeBytes(client, volumes, { ...look, signal: new AbortController().signal })
  assert.ok(bytes >= 2_000_000 && bytes < 2_100_000, String(bytes))
  assert.equal(await removeVolume(client, volume), false)
  await container.remove({ v: true })
  // A leftover of a runner that is killed meanwhile.
  ;(await readVolume(client, volume, labels)).resume()
  await engine.createContainer({
    Image: EMPTY_IMAGE,
    Cmd: ['none'],
    Labels: docker.labels,
    HostConfig: { Mounts: [{ Type: 'volume', Source: volume, Target: '/0' }] },
  })
  assert.equal(await removeVolume(client, volume), true)
})

test('files without a name are counted, and too many open ones cannot be measured', {
  skip: skip || (process.getuid?.() === 0 ? false : 'only root sees what processes have open'),
}, async (t) => {
  const docker = dockerFor(t)
  const volume = docker.name('held')
  await docker.engine.createVolume({ Name: volume, Labels: docker.labels })
  const container = await docker.engine.createContainer({
    Image: await baseImage('busybox:latest'),
    Labels: docker.labels,
    Cmd: [
      'sh',
      '-c',
      'exec 3>/held/file; rm /held/file; head -c 1m /dev/zero >&3; touch /held/done; sleep 1000',
    ],
    HostConfig: { Mounts: [{ Type: 'volume', Source: volume, Target: '/held' }] },
  })
  await container.start()
  const folder = (await docker.engine.getVolume(volume).inspect()).Mountpoint
  await until(() => existsSync(join(folder, 'done')))
  const look = { device: statSync(folder).dev, signal: new AbortController().signal }
  const bytes = await namelessBytes(client, container.id, look)
  assert.ok(bytes >= 1024 ** 2 && bytes < 1.1 * 1024 ** 2, String(bytes))
  const tooMany = await namelessBytes(client, container.id, { ...look, mostHeld: 3 })
  assert.equal(tooMany, Number.POSITIVE_INFINITY)
  await container.remove({ force: true, v: true })
})
