import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dockerHere } from '../../../../test/support/docker/docker.ts'
import { dockerUnderTest } from '../../../../test/support/docker/docker-under-test.ts'
import { EngineCable } from '../../../../test/support/docker/engine-cable.ts'
import { buildContext } from '../testing-build.ts'

const skip = await dockerHere()
const MiB = 1024 ** 2

test('a container that takes the engine long to measure keeps no other from being held, nor a build from its end', {
  skip,
}, async (t) => {
  const cable = await EngineCable.open(t)
  const { engine, image, runner } = await dockerUnderTest(t, { DOCKER_HOST: cable.address })
  await engine.prepareNetwork()
  // Only of the first one.
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
