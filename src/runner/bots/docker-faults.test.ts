import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { botPlace } from '../../../test/support/docker/bot-place.ts'
import { dockerHere, labelled } from '../../../test/support/docker/docker.ts'
import { DockerApi } from '../../../test/support/docker/docker-api.ts'
import { EngineCable } from '../../../test/support/docker/engine-cable.ts'
import { inside } from '../../../test/support/docker/inside.ts'
import { endOf, textOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import { connectDocker } from '../docker/connected-docker.ts'

const skip = await dockerHere()
const LINES = 2_000
const START = /^POST .*\/start$/
const STOP = /^POST .*\/stop$/
const STATE = /^GET .*\/containers\/[^/]+\/json$/
const LOGS = /^GET .*\/logs$/

/** Makes a runner whose engine is reached through a cable. */
async function wired(t: TestContext) {
  const cable = await EngineCable.open(t)
  const here = await botPlace(t, {
    connect: (env, runner) => connectDocker({ ...env, DOCKER_HOST: cable.address }, runner),
  })
  return { cable, here, attempts: here.open() }
}

test('broken connections to the engine leave the bot running, and its log without gaps or doubled lines', {
  skip,
}, async (t) => {
  const { cable, here, attempts } = await wired(t)
  const talking = `i=0; while [ $i -lt ${LINES} ]; do echo line $i; i=$((i+1)); [ $((i % 50)) -ne 0 ] || sleep 0.1; done`
  const attempt = await attempts.start(here.bot(`${talking}; while [ ! -e /tmp/end ]; do sleep 0.1; done`), 1)
  for (const line of [100, 600, 1100]) {
    await until(async () => (await textOf(attempt)).includes(`line ${line}\n`))
    cable.pull()
    const refusedBefore = cable.refused
    // It is asked again, and found away.
    await until(() => cable.refused > refusedBefore)
    cable.plug()
  }
  const expected = Array.from({ length: LINES }, (_, i) => `line ${i}\n`).join('')
  await until(async () => (await textOf(attempt)).length >= expected.length)
  const engine = await here.services.engine()
  const [container] = await engine.containers({ runner: here.services.runner })
  await cable.inside(container!.id, ['touch', '/tmp/end'])
  const end = await endOf(attempt)
  // Not lost: an earlier absence of its engine does not mean that this stopped it.
  assert.deepEqual([end.outcome, end.message], ['success', 'It ended by itself.'])
  assert.equal(await textOf(attempt), expected)
  await attempts.close()
})

test('an engine that fails to answer about a container is asked again, and the bot keeps running', {
  skip,
}, async (t) => {
  for (const status of [500, 503]) {
    const { cable, here, attempts } = await wired(t)
    const attempt = await attempts.start(here.bot('echo up; while [ ! -e /tmp/end ]; do sleep 0.1; done'), 1)
    await until(async () => (await textOf(attempt)) === 'up\n')
    cable.on(STATE, { status, message: 'context canceled' }, 3)
    const before = cable.count(LOGS)
    cable.pull()
    cable.plug()
    await until(() => cable.count(LOGS) > before)
    assert.equal(attempt.ended, false)
    const [id] = await here.containers()
    await cable.inside(id!, ['touch', '/tmp/end'])
    assert.equal((await endOf(attempt)).outcome, 'success')
    await attempts.close()
  }
})

test('a stop that is requested while the container starts stops it', { skip }, async (t) => {
  const { cable, here, attempts } = await wired(t)
  cable.on(START, 'held')
  const script = 'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.1; done'
  const attempt = await attempts.start(here.bot(script, { stop_grace_seconds: 60 }), 1)
  await until(() => cable.count(START) > 0)
  attempt.cancel(60_000, 'canceled')
  await until(() => cable.count(STOP) > 0)
  cable.release()
  const end = await endOf(attempt)
  assert.equal(end.outcome, 'canceled')
  assert.deepEqual(await here.containers(), [])
  await attempts.close()
})

test('a runner whose engine hangs can be closed, and the next one recovers the bot', { skip }, async (t) => {
  const { cable, here, attempts } = await wired(t)
  const script = 'echo up; while [ ! -e /tmp/end ]; do sleep 0.1; done; echo bye'
  await attempts.start(here.bot(script), 1)
  await until(async () => (await here.containers()).length > 0 && cable.count(LOGS) > 0)
  cable.on(/./, 'held', Number.POSITIVE_INFINITY)
  const held = cable.calls.length
  cable.pull()
  cable.plug()
  await until(() => cable.calls.length > held)
  await attempts.close()

  cable.release()
  const next = here.open()
  const [attempt] = await next.recover()
  const [id] = await here.containers()
  await cable.inside(id!, ['touch', '/tmp/end'])
  assert.equal((await endOf(attempt!)).outcome, 'success')
  assert.equal(await textOf(attempt!), 'up\nbye\n')
  await next.close()
})

test('an engine that accepts connections but never answers does not block a bot forever', {
  skip,
}, async (t) => {
  const { cable, here, attempts } = await wired(t)
  cable.on(/./, 'held', Number.POSITIVE_INFINITY)
  const attempt = await attempts.start(here.bot('echo up'), 1)
  const end = await endOf(attempt)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'start_failed'])
  assert.match(end.message!, /Docker is not reachable at .*engine\.sock/)
  await attempts.close()
})

test("an interrupted answer about a container's end is requested again", { skip }, async (t) => {
  const { cable, here, attempts } = await wired(t)
  cable.on(/^GET .*\/events$/, 'cut_short')
  const end = await endOf(await attempts.start(here.bot('kill -9 $$'), 1))
  assert.deepEqual([end.outcome, end.reason, end.exit_code], ['failed', 'signal', 137])
  await attempts.close()
})

test('an image that is removed before its container is created is fetched again', { skip }, async (t) => {
  const { cable, here, attempts } = await wired(t)
  cable.on(/^POST .*\/containers\/create$/, { status: 404, message: 'No such image: sha256:0123' })
  const attempt = await attempts.start(here.bot('echo up'), 1)
  assert.deepEqual([(await endOf(attempt)).outcome, await textOf(attempt)], ['success', 'up\n'])
  await attempts.close()
})

test('a bot that never starts leaves no data volume, unless it existed before', {
  skip,
}, async (t) => {
  const { cable, here, attempts } = await wired(t)
  const volumes = async () => (await labelled(here.label)).volumes.length
  const bot = () => here.bot('exit 0', { bot_id: 'keeper', data: { path: '/data', size: '1GB' } })
  const failed = async () => {
    cable.on(START, { status: 500, message: 'no such thing' })
    assert.equal((await endOf(await attempts.start(bot(), 1))).reason, 'start_failed')
  }
  await failed()
  assert.equal(await volumes(), 0)
  assert.equal((await endOf(await attempts.start(bot(), 1))).outcome, 'success')
  assert.equal(await volumes(), 1)
  await failed()
  assert.equal(await volumes(), 1)
  await attempts.close()
})

test('a stop of an unhealthy bot that its engine did not perform does not affect its next start', {
  skip,
}, async (t) => {
  const { cable, here, attempts } = await wired(t)
  cable.on(STOP, 'held')
  const attempt = await attempts.start(
    here.bot('trap "exit 0" TERM; echo up; while :; do sleep 0.1; done', {
      data: { path: '/data', size: '1GB' },
      restart: { policy: 'always' },
      health: {
        cmd: '[ -e /data/fine ]',
        ...{ interval_seconds: 5, timeout_seconds: 60, retries: 1, start_period_seconds: 0 },
      },
    }),
    1,
  )
  await until(() => cable.count(STOP) > 0, 'the stop')
  const [id] = await here.containers()
  cable.pull()
  // Done before the restart, which would end it.
  await inside(new DockerApi().getContainer(id!), ['touch', '/data/fine'])
  // Imitates an engine that comes back.
  await new DockerApi().getContainer(id!).restart({ t: 5 })
  cable.plug()
  const { live } = here.services
  await until(() => live.all().some(({ health }) => health?.state === 'healthy'), 'healthy')
  assert.equal(cable.count(STOP), 1)
  assert.equal(await textOf(attempt), 'up\nup\n')
  attempt.cancel(1_000, 'canceled')
  assert.equal((await endOf(attempt)).outcome, 'canceled')
  await attempts.close()
})
