import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { noSmallDisk } from '../../../test/faults/small-disk.ts'
import { buildContext, testingBuild } from '../../../test/support/docker/build-fixture.ts'
import { baseImage, dockerHere } from '../../../test/support/docker/docker.ts'
import { dockerUnderTest } from '../../../test/support/docker/docker-under-test.ts'
import { EngineCable } from '../../../test/support/docker/engine-cable.ts'
import { isAlmostFull } from './build.ts'

const skip = await dockerHere()
const MiB = 1024 ** 2

/** Program in which every process starts others as fast as it can; the first one prints the highest count. */
const BOMB = `
import os, time
own = os.getpid()
def fork():
    try: return os.fork()
    except OSError: return -1
most = 0
until = time.time() + 3
while time.time() < until:
    for n in range(20):
        if fork() == 0: own = 0
    if own: most = max(most, sum(name.isdigit() for name in os.listdir('/proc')))
if own: print('at most', most, 'processes', flush=True)
else: time.sleep(1000)`

test('slow measuring of one container does not keep others from their limits, nor a build from its end', {
  skip,
}, async (t) => {
  const cable = await EngineCable.open(t)
  const { engine, image, runner } = await dockerUnderTest(t, { DOCKER_HOST: cable.address })
  await engine.prepareNetwork()
  // Only for the first one.
  const measuring = /^GET .*\/containers\/[^/]+\/json$/
  cable.on(measuring, 'held')
  const Dockerfile = `FROM ${image}
RUN sleep 3
RUN dd if=/dev/zero of=/large bs=1M count=30; sleep 1000`
  await assert.rejects(
    engine.build({
      context: async () => buildContext({ Dockerfile }),
      dockerfile: 'Dockerfile',
      args: {},
      name: `errand.test/${runner}:1`,
      labels: { runner },
      limits: { memoryBytes: 64 * MiB, cpus: 1, processes: 50, diskBytes: 10 * MiB },
      progress: () => {},
      signal: new AbortController().signal,
    }),
    { code: 'build_failed', message: /returned a non-zero code: 137/ },
  )
  assert.ok(cable.count(measuring) > 1)
})

test('a fork bomb in a build never exceeds its process limit, from the first process on', {
  skip,
}, async (t) => {
  const { engine, runner } = await dockerUnderTest(t)
  await engine.prepareNetwork()
  const Dockerfile = `FROM ${await baseImage('python:3.11-slim')}\nENV RUNNER=${runner}\nCOPY bomb.py /\nRUN python3 /bomb.py`
  const lines: string[] = []
  const limits = { memoryBytes: 512 * MiB, cpus: 1, processes: 50, diskBytes: 1024 * MiB }
  const progress = (line: string): void => void lines.push(line)
  await engine.build(testingBuild(runner, { Dockerfile, 'bomb.py': BOMB }, { limits, progress }))
  const most = Number(/at most (\d+) processes/.exec(lines.join('\n'))?.[1])
  assert.ok(most > 40 && most <= 50, `${most} processes`)
})

test('a disk with few free bytes or room for few files counts as almost full', {
  skip: noSmallDisk,
}, async (t) => {
  const disk = (options: string): string => {
    const folder = mkdtempSync(join(tmpdir(), 'errand-disk-'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'disk', folder])
    t.after(() => {
      execFileSync('umount', [folder])
      rmdirSync(folder)
    })
    return folder
  }
  assert.equal(await isAlmostFull(disk('size=2g,nr_inodes=200k')), false)
  assert.equal(await isAlmostFull(disk('size=2g,nr_inodes=50k')), true)
  assert.equal(await isAlmostFull(disk('size=1m,nr_inodes=200k')), true)
  assert.equal(await isAlmostFull('/none/such'), false)
})
