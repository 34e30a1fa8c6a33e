import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { extract, type Header } from 'tar-stream'
import { botsHere, engineNames, startBotHub } from '../support/bot-hub.ts'
import { labelled } from '../support/docker/docker.ts'
import { eventually } from '../support/errand-command.ts'

const skip = await botsHere()

test('a bot writes beside its code, and starts with what its image has there', { skip }, async (t) => {
  const hub = await startBotHub(t)
  const code = `
import os, sqlite3, sys
base = sqlite3.connect("bot.db")
base.execute("create table if not exists seen (n)")
base.execute("insert into seen values (1)")
base.commit()
open("bot.log", "a").write("line\\n")
os.makedirs("cache/one")
open("texts/hello.txt", "a").write(" changed")
print("rows", base.execute("select count(*) from seen").fetchone()[0], open("texts/hello.txt").read(), flush=True)
for path in ["/new", "/etc/new", "/usr/new", "/home/new"]:
    try:
        open(path, "w")
        print("wrote", path, flush=True)
    except OSError:
        pass
print("done", flush=True)
import time
time.sleep(1000)
`
  const files = { 'bot.py': code, 'texts/hello.txt': 'hello' }
  const first = await hub.client.bots.start({ bot_id: 'writer', files, entrypoint: 'bot.py' })
  assert.match(await hub.untilPrinted(first.run_id, 'done'), /^rows 1 hello changed\ndone\n$/)
  // A new container starts the count again.
  const { run_id } = await hub.client.bots.restart('writer')
  assert.match(await hub.untilPrinted(run_id, 'done'), /^rows 1 hello changed\ndone\n$/)
  await hub.client.bots.stop('writer')
  await hub.until('writer', 'stopped')
  assert.deepEqual(await volumes(hub), [])
})

test('data survive restart, update, stop and the death of runner and hub, can be exported, and are removed', {
  skip,
}, async (t) => {
  const hub = await startBotHub(t, { hubEnv: { ERRAND_BOT_DATA: '3GB' } })
  const folder = mkdtempSync(join(tmpdir(), 'errand-data-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const cli = (...args: string[]) => hub.call('bot', ...args)
  const script = 'echo start >>/data/starts; wc -l </data/starts; echo up; while :; do sleep 0.2; done'
  const more = { data: true, env_vars: { WORD: 'a secret of this bot' } }
  const starts = async (runId: string) => Number.parseInt(await hub.untilPrinted(runId, 'up'), 10)

  const first = await hub.startShell('keeper', script, more)
  assert.equal(await starts(first.run_id), 1)
  const again = await hub.client.bots.restart('keeper')
  assert.equal(await starts(again.run_id), 2)
  // For a moment, both containers have the data.
  const { update } = await hub.client.bots.update('keeper', { env: { A: '1' } })
  assert.equal(await starts(update!.run_id), 3)
  await eventually('the update', async () => (await hub.client.bots.get('keeper')).run_id === update!.run_id)
  await hub.client.bots.stop('keeper')
  await hub.until('keeper', 'stopped')
  const restarted = await hub.startShell('keeper', script, more)
  assert.equal(await starts(restarted.run_id), 4)
  const container = await hub.containerOf('keeper')
  const before = (await container.inspect()).State.StartedAt
  await hub.kill('runner', 'hub')
  await hub.startHub()
  await hub.startRunner()
  await eventually('the bot that continues', async () => {
    const bot = await hub.client.bots.get('keeper').catch(() => undefined)
    return bot?.state === 'running' && bot.data?.bytes !== undefined
  })
  assert.equal((await container.inspect()).State.StartedAt, before)

  // Bytes of no known format, and the bot's own secret. Nothing of it is masked or changed.
  await container.exec(
    'sh',
    '-c',
    'echo "$WORD" >/data/word; head -c 5000000 /dev/urandom >/data/noise; ln -s noise /data/link; mkdir /data/empty',
  )
  const sum = (await container.exec('sh', '-c', 'sha256sum </data/noise')).slice(0, 64)
  // A measured size is valid for a second.
  const line = /^data +\/data, 4\.8 MB of 1 GB, on \S+$/m
  await eventually('its size', async () => line.test((await cli('status', 'keeper')).stdout))
  const file = join(folder, 'keeper.tar')
  for (const state of ['running', 'stopped']) {
    if (state === 'stopped') {
      const refused = await cli('data', 'remove', 'keeper')
      assert.equal(refused.code === 0, false)
      assert.match(refused.stderr, /errand bot stop keeper/)
      await hub.client.bots.stop('keeper')
      await hub.until('keeper', 'stopped')
    }
    const made = await cli('data', 'export', 'keeper', '-o', file)
    assert.equal(made.code, 0, made.stderr)
    const entries = await entriesOf(readFileSync(file))
    assert.equal(entries['./word']!.body.toString(), 'a secret of this bot\n', state)
    assert.equal(createHash('sha256').update(entries['./noise']!.body).digest('hex'), sum, state)
    assert.equal(entries['./link']!.header.linkname, 'noise')
    assert.equal(entries['./empty/']!.header.type, 'directory')
    assert.equal(entries['./starts']!.body.toString(), 'start\n'.repeat(4))
    assert.equal(existsSync(`${file}.part`), false)
  }
  assert.match((await cli('data', 'list')).stdout, /^keeper +4\.8 MB +1 GB +\/data +\S+/m)
  const tooMuch = await cli(
    'start',
    'second',
    '--image',
    hub.images.busybox,
    '--data',
    '/state',
    '--data-size',
    '2.5GB',
  )
  assert.match(tooMuch.stderr, /would have 3\.5 GB; the limit is 3 GB/)
  const other = await hub.startShell('other', 'ls /data; echo up; while :; do sleep 1; done', { data: true })
  assert.equal(await hub.untilPrinted(other.run_id, 'up'), 'up\n')
  await hub.client.bots.stop('other')
  await hub.until('other', 'stopped')
  for (const id of ['keeper', 'other']) assert.equal((await cli('data', 'remove', id)).code, 0)
  assert.deepEqual(await volumes(hub), [])
  assert.match((await cli('data', 'export', 'keeper', '-o', '-')).stderr, /Bot "keeper" has no data/)
})

test('a bot with data waits while its runner is away, and says so', { skip }, async (t) => {
  const hub = await startBotHub(t)
  const script = 'echo up; while :; do sleep 1; done'
  await hub.startShell('keeper', script, { data: true })
  await hub.until('keeper', 'running')
  // Both are checked, because the place may be noted before or after the bot was looked at.
  const { data } = await eventually('the place', async () => {
    const bot = await hub.client.bots.get('keeper')
    const there = await hub.client.bots.data('keeper').catch(() => undefined)
    return there !== undefined && bot.data?.runner !== undefined && bot
  })
  await hub.client.bots.stop('keeper')
  await hub.until('keeper', 'stopped')
  await hub.kill('runner')
  // Before that, the hub would hand the bot to a dead connection.
  await eventually('that the runner is away', async () =>
    (await hub.client.runners.list()).every(({ status }) => status === 'disconnected'),
  )
  await hub.startShell('keeper', script, { data: true })
  const waiting = await eventually('why it waits', async () => {
    const { message } = await hub.client.bots.get('keeper')
    return message !== undefined && /data are on/.test(message) && message
  })
  assert.match(waiting, new RegExp(`its data are on runner "${data!.runner}"`))
  assert.match(waiting, /start it without --data/)
  await assert.rejects(hub.client.bots.exportData('keeper'), { code: 'unavailable' })
  await hub.startRunner()
  await hub.until('keeper', 'running')
})

const volumes = async (hub: Parameters<typeof engineNames>[0]) =>
  (await Promise.all(engineNames(hub).map((name) => labelled(`errand.runner=${name}`)))).flatMap(
    (found) => found.volumes,
  )

async function entriesOf(tar: Buffer): Promise<Record<string, { header: Header; body: Buffer }>> {
  const entries = extract()
  entries.end(tar)
  const found: Record<string, { header: Header; body: Buffer }> = {}
  for await (const entry of entries) {
    const chunks: Buffer[] = []
    for await (const chunk of entry) chunks.push(chunk as Buffer)
    found[entry.header.name] = { header: entry.header, body: Buffer.concat(chunks) }
  }
  return found
}
