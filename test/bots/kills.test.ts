import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test from 'node:test'
import { botsHere, startBotHub } from '../support/bot-hub.ts'
import { eventually } from '../support/errand-command.ts'

const skip = await botsHere()

/**
 * Prints numbered lines on both streams until a signal says that these are enough. Then it prints their number and
 * waits.
 */
const chatty = `
trap 'enough=1' USR1
i=0
while [ -z "$enough" ]; do
  echo "line $i of the bot that talks"
  echo "error $i of the bot that talks" >&2
  i=$((i + 1))
  [ $((i % 200)) -ne 0 ] || sleep 0.3
done
echo "all is said with $i"
echo "all is said with $i" >&2
trap '' USR1
exec sleep 1000000`

const expected = (word: string, lines: number): string =>
  `${Array.from({ length: lines }, (_, i) => `${word} ${i} of the bot that talks\n`).join('')}all is said with ${lines}\n`
const hash = (text: string): string => createHash('sha256').update(text).digest('hex')

test('a bot survives kill -9 of hub, runner and both: same container, each line once', {
  skip,
}, async (t) => {
  const hub = await startBotHub(t)
  const { run_id } = await hub.startShell('chatty', chatty, { limits: { cpus: 2 } })
  await hub.until('chatty', 'running')
  const before = await (await hub.containerOf('chatty')).inspect()
  const start = { hub: () => hub.startHub(), runner: () => hub.startRunner() }
  const seen = async () => (await hub.printed(run_id).catch(() => '')).length

  for (const which of [['hub'], ['runner'], ['hub', 'runner']] as const) {
    const lines = await seen()
    await eventually('more of the log', async () => (await seen()) > lines)
    await hub.kill(...which)
    for (const name of which) await start[name]()
  }
  // It kept printing during all of that.
  await (await hub.containerOf('chatty')).kill({ signal: 'SIGUSR1' })
  const printed = await hub.untilPrinted(run_id, 'all is said')
  const lines = Number(/all is said with (\d+)\n$/.exec(printed)?.[1])
  assert.equal(hash(printed), hash(expected('line', lines)))
  // Each stream arrives at its own pace.
  const errors = await eventually('the end of the other stream', async () => {
    const text = await hub.printed(run_id, 'stderr')
    return text.includes('all is said') && text
  })
  assert.equal(hash(errors), hash(expected('error', lines)))

  const after = await (await hub.containerOf('chatty')).inspect()
  assert.equal(after.Id, before.Id)
  assert.equal(after.State.StartedAt, before.State.StartedAt)
  const bot = await hub.until('chatty', 'running')
  assert.deepEqual([bot.state, bot.restarts, bot.run_id], ['running', 0, run_id])

  await hub.client.bots.stop('chatty')
  await hub.until('chatty', 'stopped')
  await eventually('no container', async () => (await hub.containers()).length === 0)
})

test('one sweep removes what a crash between create and record leaves, and nothing that belongs to others', {
  skip,
}, async (t) => {
  const hub = await startBotHub(t)
  await hub.startShell('stays', 'echo up; exec sleep 1000000')
  await hub.until('stays', 'running')
  const stays = await (await hub.containerOf('stays')).inspect()
  const { Labels } = stays.Config
  await hub.kill('runner')
  // Containers like those that a runner leaves if it is killed after the engine's answer, and containers of others,
  // one of them with a name like ours.
  const made = async (name: string, labels: Record<string, string>) =>
    await hub.engine.createContainer({
      name,
      Image: hub.images.busybox,
      Cmd: ['sleep', '1000000'],
      Labels: labels,
      HostConfig: { NetworkMode: hub.network() },
    })
  const lostRun = 'run_00000000000000000000000000.1'
  const orphan = await made(`${stays.Name.slice(1)}-orphan`, { ...Labels, 'errand.attempt': lostRun })
  await orphan.start()
  const neverStarted = await made(`${stays.Name.slice(1)}-new`, { ...Labels, 'errand.attempt': lostRun })
  const foreign = await made(`${stays.Name.slice(1)}-foreign`, {})
  const otherRunner = await made(`${stays.Name.slice(1)}-other`, {
    ...Labels,
    'errand.runner': 'errand-other',
  })

  await hub.startRunner()
  const gone = ({ id }: { id: string }) =>
    eventually('the end of the orphan', async () => !(await hub.containers()).some(({ Id }) => Id === id))
  await Promise.all([orphan, neverStarted].map(gone))
  assert.deepEqual(
    (await hub.containers()).map(({ Id }) => Id).sort(),
    [stays.Id, foreign.id, otherRunner.id].sort(),
  )
  assert.equal((await hub.engine.getContainer(stays.Id).inspect()).State.StartedAt, stays.State.StartedAt)
})
