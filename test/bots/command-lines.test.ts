import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { type BotHub, botsHere, startBotHub } from '../support/bot-hub.ts'
import { eventually } from '../support/errand-command.ts'

const skip = await botsHere()

const bot = (text: string): string => `
import os, sys, time
print(${JSON.stringify(text)}, os.environ.get("PLAIN", ""), flush=True)
print("to errors", file=sys.stderr, flush=True)
while True: time.sleep(1000)
`

/** Creates a folder to call from, with source texts and a project that has a Dockerfile. */
function writeSources({ home, images }: BotHub): string {
  const cwd = join(home, 'sources')
  mkdirSync(join(cwd, 'project'), { recursive: true })
  writeFileSync(join(cwd, 'bot.py'), bot('I am simple'))
  writeFileSync(join(cwd, 'more.py'), 'TEXT = "more"\n')
  writeFileSync(
    join(cwd, 'project/Dockerfile'),
    `FROM ${images.busybox}\nCOPY run.sh /\nCMD ["sh", "/run.sh"]\n`,
  )
  writeFileSync(join(cwd, 'project/run.sh'), 'echo I am custom; exec sleep 1000000\n')
  return cwd
}

test('the command lines of the bot runner still work', { skip }, async (t) => {
  const hub = await startBotHub(t)
  const cwd = writeSources(hub)
  const call = async (...args: string[]) => {
    const done = await hub.errand.run(['bot', ...args], { env: hub.env, cwd })
    return { ...done, all: `${done.stderr}${done.stdout}` }
  }
  const logs = async (id: string) => (await call('logs', id)).stdout

  const simple = await call('start', 'my-bot', '--simple', 'bot.py', '-e', 'BOT_TOKEN=123456:secret-of-mine')
  assert.equal(simple.code, 0, simple.all)
  assert.match(simple.all, /building[\s\S]*running[\s\S]*my-bot is running \(run_/)
  const several = await call('start', 'files', '--simple', 'bot.py', 'more.py', '--entrypoint', 'bot.py')
  assert.equal(several.code, 0, several.all)
  const custom = await call('start', 'made', '--custom', './project/')
  assert.equal(custom.code, 0, custom.all)

  await eventually('its first line', async () => /I am simple/.test(await logs('my-bot')))
  await eventually('its first line', async () => /I am custom/.test(await logs('made')))
  const errors = ['logs', 'my-bot', '--stream', 'stderr', '--search', 'ERRORS']
  await eventually('the other stream', async () => (await call(...errors)).stdout === 'to errors\n')

  const over = await call('start', 'fourth', '--image', hub.images.busybox)
  assert.equal(over.code, 1)
  assert.match(over.stderr, /Maximum 3 bots[\s\S]*errand bot stop files/)
  const twice = await call('start', 'made', '--custom', './project/')
  assert.match(twice.stderr, /You already have a bot "made"[\s\S]*errand bot update made/)

  const list = await call('list')
  assert.deepEqual(
    list.stdout.split('\n').map((line) => line.split(/\s+/).slice(0, 2).join(' ')),
    ['BOT STATE', 'made running', 'files running', 'my-bot running', ''],
  )
  const shown = JSON.parse((await call('status', 'my-bot', '--json')).stdout)
  assert.deepEqual(
    [shown.state, shown.deployment_mode, shown.env_vars, shown.limits.memory, shown.limits.cpus],
    ['running', 'simple', ['BOT_TOKEN'], '256MB', 0.5],
  )
  const status = await call('status', 'my-bot')
  assert.match(status.stdout, /^state +running$/m)

  const stopped = await call('stop', 'my-bot')
  assert.equal(stopped.stdout, 'my-bot is stopped.\n')
  assert.equal((await call('stop', 'my-bot')).code, 0, 'twice counts once')
  const image = await call('start', 'ready', '--image', hub.images.busybox, '--plain', 'A=1')
  assert.match(image.all, /pulling|running/)
  // A shell without input ends at once.
  assert.equal((await hub.until('ready', 'stopped')).exit_code, 0)
  assert.match((await call('list', '--all')).stdout, /^ready +stopped/m)

  // The new container is up before the old one is removed. Its log is followed over the change.
  const follow = hub.errand.start(['bot', 'logs', 'files', '-f'], { env: hub.env, cwd })
  await follow.until('I am simple')
  const old = await (await hub.containerOf('files')).inspect()
  writeFileSync(join(cwd, 'bot.py'), bot('I am new'))
  const update = await call('update', 'files', '--simple', 'bot.py', '--plain', 'PLAIN=as-it-was')
  assert.equal(update.code, 0, update.all)
  await follow.until('I am new as-it-was')
  await eventually('the end of the old bot', async () =>
    hub.engine
      .getContainer(old.Id)
      .inspect()
      .then(
        () => false,
        () => true,
      ),
  )
  const { Id, State } = await (await hub.containerOf('files')).inspect()
  assert.notEqual(Id, old.Id)
  const { finished_at } = await hub.client.runs.get(
    (await hub.client.runs.list({ limit: 100 })).runs.find(
      ({ workflow_name, status }) => workflow_name === 'files' && status === 'canceled',
    )!.run_id,
  )
  assert.ok(State.StartedAt < finished_at!, 'both running')

  // An update that fails leaves the old one up.
  writeFileSync(join(cwd, 'bot.py'), 'raise SystemExit("broken as it is")\n')
  const broken = await call('update', 'files', '--simple', 'bot.py')
  assert.equal(broken.code, 1, broken.all)
  assert.match(broken.all, /broken as it is/)
  assert.equal((await (await hub.containerOf('files')).inspect()).Id, Id)
  assert.equal((await hub.client.bots.get('files')).state, 'running')

  const restarted = await call('restart', 'files')
  assert.equal(restarted.code, 0, restarted.all)
  assert.notEqual((await (await hub.containerOf('files')).inspect()).Id, Id)
  await follow.until(/continues as[\s\S]*continues as/)
  await call('stop', 'files')
  await follow.finished
  assert.match(follow.printed.stderr, /files is stopped/)
})
