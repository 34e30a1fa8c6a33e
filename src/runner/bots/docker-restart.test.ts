import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { botPlace } from '../../../test/support/docker/bot-place.ts'
import { baseImage, dockerHere } from '../../../test/support/docker/docker.ts'
import { OwnEngine, ownEngineHere } from '../../../test/support/docker/own-engine.ts'
import { endOf, textOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import { connectDocker } from '../docker/connected-docker.ts'
import type { HeldAttempt } from '../ports.ts'
import { BotServices, type BotsOptions } from './bot-services.ts'
import { prepareImage } from './images/prepare-image.ts'

const skip = (await dockerHere()) || (await ownEngineHere())

/** Makes a runner on a separate engine, which the test stops and kills. */
async function setUp(t: TestContext, args: readonly string[] = [], options: Partial<BotsOptions> = {}) {
  const engine = await OwnEngine.start(t, args)
  await engine.take(await baseImage('busybox:latest'))
  const own = { DOCKER_HOST: engine.address, ERRAND_BOT_NETWORK_GUARD: 'external' }
  const here = await botPlace(t, {
    connect: (env, runner) => connectDocker({ ...env, ...own }, runner),
    ...options,
  })
  /** Imitates a restart of the runner, without anything that its process knew. */
  const again = () => {
    const services = new BotServices(here.services.options)
    t.after(() => services.close())
    return { services, attempts: here.open({ bots: services }) }
  }
  return { engine, here, again }
}

type Phase = { phase: string; reason?: string; message?: string }
const phases = ({ reports }: HeldAttempt): Phase[] =>
  reports.flatMap((report) => (report.type === 'phase' ? [report as Phase] : []))
const names = (attempt: HeldAttempt): string[] =>
  phases(attempt).map(({ phase, reason }) => (reason === undefined ? phase : `${phase} ${reason}`))
const lines = async (attempt: HeldAttempt): Promise<string[]> => (await textOf(attempt)).trim().split('\n')
const has = (attempt: HeldAttempt, line: string, times = 1) =>
  until(async () => (await lines(attempt)).filter((each) => each === line).length >= times, line)

/** Script that prints when it begins and when it is asked to end. */
const TALKER = `echo begun; trap 'echo asked; exit CODE' TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done`
const talker = (code: number | 'deaf') =>
  code === 'deaf' ? TALKER.replace('exit CODE', ':') : TALKER.replace('CODE', String(code))

/** Checks that each life of the bot printed lines 1, 2, 3 ... without gaps or duplicates. */
function checkLines(all: readonly string[], lives: number): void {
  const phases = all.filter((line) => line !== 'asked')
  assert.equal(phases.filter((line) => line === 'begun').length, lives)
  let next = 0
  for (const line of phases) {
    next = line === 'begun' ? 1 : next + 1
    if (line !== 'begun') assert.equal(line, `line ${next - 1}`)
  }
}

test('stopping the engine ends no bot, however it handles the signal: it comes back, with a complete log', {
  skip,
}, async (t) => {
  const { engine, here } = await setUp(t)
  const attempts = here.open()
  const bots = await Promise.all(
    ([0, 3, 143, 'deaf'] as const).map((code) => attempts.start(here.bot(talker(code)), 1)),
  )
  await Promise.all(bots.map((bot) => has(bot, 'line 5')))
  await engine.stop()
  await until(() => here.services.live.all().every((bot) => bot.engine_away_since !== undefined))
  await engine.begin()
  await Promise.all(bots.map((bot) => has(bot, 'begun', 2)))
  await Promise.all(bots.map((bot) => has(bot, 'line 5', 2)))
  for (const bot of bots) {
    assert.deepEqual(names(bot), ['running', 'restarting engine_restarted', 'running'])
    assert.match(phases(bot)[1]!.message!, /^Its container engine stopped, which ended the bot/)
    checkLines(await lines(bot), 2)
  }
  assert.ok(here.services.live.all().every((bot) => bot.engine_away_since === undefined))
  // A second time counts no more than one.
  await engine.stop()
  await engine.begin()
  await Promise.all(bots.map((bot) => has(bot, 'begun', 3)))
  for (const bot of bots) bot.cancel(1_000, 'canceled')
  for (const bot of bots) assert.equal((await endOf(bot)).outcome, 'canceled')
  await attempts.close()
})

test('bots survive a crash of the engine, restart if it ends them afterwards, and stay ended if they ended', {
  skip,
}, async (t) => {
  const { engine, here } = await setUp(t)
  const attempts = here.open()
  const talking = await attempts.start(here.bot(talker(0)), 1)
  const ending = (code: number) => `echo up; until [ -e /tmp/end ]; do sleep 0.1; done; exit ${code}`
  const done = await attempts.start(here.bot(ending(0)), 1)
  const failing = await attempts.start(here.bot(ending(3)), 1)
  await Promise.all([has(talking, 'line 5'), has(done, 'up'), has(failing, 'up')])
  const running = await Promise.all(
    (await engine.docker.listContainers()).map(({ Id }) => engine.docker.getContainer(Id).inspect()),
  )
  await engine.kill()
  await until(() => here.services.live.all().every((bot) => bot.engine_away_since !== undefined))
  const ended = running.filter(({ Config }) => Config.Cmd.some((word) => word.includes('/tmp/end')))
  const tmp = ({ State }: (typeof ended)[number]) => join('/proc', String(State.Pid), 'root', 'tmp')
  for (const each of ended) writeFileSync(join(tmp(each), 'end'), '')
  await until(() => ended.every((each) => !existsSync(tmp(each))))
  await engine.begin()
  const [end, failed] = await Promise.all([endOf(done), endOf(failing)])
  assert.deepEqual([end.outcome, end.exit_code], ['success', 0], end.message)
  assert.match(end.message!, /apparently ended by itself while its container engine was away/)
  assert.deepEqual([failed.outcome, failed.reason, failed.exit_code], ['failed', 'exit_code', 3])
  await has(talking, 'begun', 2)
  await has(talking, 'line 5', 2)
  assert.deepEqual(names(talking), ['running', 'restarting engine_restarted', 'running'])
  checkLines(await lines(talking), 2)
  talking.cancel(1_000, 'canceled')
  assert.equal((await endOf(talking)).outcome, 'canceled')
  await attempts.close()
})

test('a bot survives while its engine is down with live-restore, and a later end by hand counts', {
  skip,
}, async (t) => {
  const { engine, here } = await setUp(t, ['--live-restore'])
  const attempts = here.open()
  const bot = await attempts.start(here.bot(talker(143)), 1)
  await has(bot, 'line 5')
  await engine.stop()
  await until(() => here.services.live.all()[0]?.engine_away_since !== undefined)
  await engine.begin()
  await until(() => here.services.live.all()[0]?.engine_away_since === undefined)
  const before = (await lines(bot)).length
  await until(async () => (await lines(bot)).length > before + 20)
  assert.deepEqual(names(bot), ['running'])
  checkLines(await lines(bot), 1)
  const [container] = await engine.docker.listContainers()
  await engine.docker.getContainer(container!.Id).stop()
  const end = await endOf(bot)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'signal'])
  await attempts.close()
})

test('a runner that restarts with its engine recovers its bots, and after a reboot their policy decides', {
  skip,
}, async (t) => {
  const { engine, here, again } = await setUp(t)
  const attempts = here.open()
  const policy = { restart: { policy: 'on-failure', max_restarts: 1 } }
  const bots = await Promise.all([
    attempts.start(here.bot(talker(0)), 1),
    attempts.start(here.bot(talker(143), policy), 1),
    attempts.start(here.bot(talker(3)), 1),
    attempts.start(here.bot(talker(0)), 1),
    attempts.start(here.bot(talker(0), policy), 1),
  ])
  await Promise.all(bots.map((bot) => has(bot, 'line 5')))
  await attempts.close()
  await here.services.close()
  await engine.stop()
  // Imitates two that began before a boot of the machine.
  for (const { spec } of bots.slice(3)) {
    const file = join(here.path, 'attempts', spec.attempt_id, 'bot')
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), boot: 'another' }))
  }
  const next = again()
  const found = await next.attempts.recover()
  const of = (index: number) => found.find(({ spec }) => spec.attempt_id === bots[index]!.spec.attempt_id)!
  await engine.begin()
  for (const index of [0, 1, 4]) {
    await has(of(index), 'begun', 2)
    await until(() => names(of(index)).length === 3)
    assert.deepEqual(names(of(index)), ['running', 'restarting engine_restarted', 'running'])
    checkLines(await lines(of(index)), 2)
  }
  assert.match(phases(of(4))[1]!.message!, /^Its machine restarted/)
  // Nobody was there to see a signal, and with this code it may have failed by itself.
  const failed = await endOf(of(2))
  assert.deepEqual([failed.outcome, failed.exit_code], ['failed', 3])
  const crashed = await endOf(of(3))
  assert.deepEqual([crashed.outcome, crashed.reason], ['interrupted', 'lost'])
  assert.match(crashed.message!, /machine restarted, and it has no --restart/)
  for (const index of [0, 1, 4]) of(index).cancel(1_000, 'canceled')
  for (const index of [0, 1, 4]) assert.equal((await endOf(of(index))).outcome, 'canceled')
  await next.attempts.close()
})

test('an engine that hangs is reported as unavailable, and again when it is back', { skip }, async (t) => {
  const { engine, here } = await setUp(t)
  const attempts = here.open()
  const bot = await attempts.start(here.bot(talker(0)), 1)
  await has(bot, 'line 5')
  engine.hang()
  await until(() => here.services.live.all()[0]?.engine_away_since !== undefined)
  engine.goOn()
  await until(() => here.services.live.all()[0]?.engine_away_since === undefined)
  assert.deepEqual(names(bot), ['running'])
  bot.cancel(1_000, 'canceled')
  assert.equal((await endOf(bot)).outcome, 'canceled')
  await attempts.close()
})

test('a bot whose engine stops while its image is built starts the build again', { skip }, async (t) => {
  const begun = Promise.withResolvers<void>()
  const gone = Promise.withResolvers<void>()
  let count = 0
  const { engine, here } = await setUp(t, [], {
    prepareImage: async (order) => {
      if (++count > 1) return await prepareImage(order)
      order.phase('building')
      begun.resolve()
      await gone.promise
      await order.engine.image('gone')
      throw new Error('the engine was there')
    },
  })
  const attempts = here.open()
  const bot = await attempts.start(here.bot(talker(0)), 1)
  await begun.promise
  await engine.stop()
  gone.resolve()
  await until(() => phases(bot).some(({ message }) => message?.includes('starts over')))
  await engine.begin()
  await has(bot, 'begun')
  assert.ok(count > 1)
  bot.cancel(1_000, 'canceled')
  assert.equal((await endOf(bot)).outcome, 'canceled')
  await attempts.close()
})
