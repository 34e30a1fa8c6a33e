import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import test from 'node:test'
import { promisify } from 'node:util'
import { botsHere, startBotHub } from '../support/bot-hub.ts'
import { eventually } from '../support/errand-command.ts'
import { filesWith, formsOf } from '../support/secret-search.ts'

const execute = promisify(execFile)
const skip = await botsHere()
const TOKEN = '7204816359:AAF-this-value-stands-nowhere'

const code = `
import base64, os, sys, time
token = os.environ["BOT_TOKEN"]
print("my token is", token, flush=True)
# // Sleeps: the two halves of the secret must be two writes.
print("split:", token[:20], end="", flush=True); time.sleep(0.2); print(token[20:])
print("in base64:", base64.b64encode(token.encode()).decode(), flush=True)
print("to errors:", token, "and on", file=sys.stderr, flush=True)
print("done", flush=True)
while True: time.sleep(1000)
`
const forms = formsOf(TOKEN)

test("a bot's token is in no image, log, answer or file of the hub, and nowhere after the bot ends", {
  skip,
}, async (t) => {
  const hub = await startBotHub(t)
  const start = { bot_id: 'teller', code, env_vars: { BOT_TOKEN: TOKEN } }
  const { run_id } = await hub.client.bots.start(start)
  const text = await hub.untilPrinted(run_id, 'done\n')
  assert.match(text, /^my token is \*\*\*\nsplit: [^7]*\n?in base64: \*\*\*\ndone\n$/)
  await eventually(
    'the other stream',
    async () => (await hub.printed(run_id, 'stderr')) === 'to errors: *** and on\n',
  )

  const container = await hub.containerOf('teller')
  const { Image, Config } = await container.inspect()
  assert.ok(Config.Env.includes(`BOT_TOKEN=${TOKEN}`), 'the bot has it')
  const image = hub.engine.getImage(Image)
  const shown = JSON.stringify([await image.inspect(), await image.history()])
  const { stdout: layers } = await execute('sh', [
    '-c',
    `docker save ${Image} | tar -xO | grep -acF -e ${TOKEN} || true`,
  ])
  assert.equal(layers.trim(), '0')
  const { Env: _, ...rest } = Config
  const events: string[] = []
  for await (const event of hub.client.events(run_id)) {
    events.push(JSON.stringify(event))
    if (event.type === 'output' && event.text?.includes('done')) break
  }
  const answers = await Promise.all([
    hub.client.bots.get('teller'),
    hub.client.bots.list(),
    hub.client.bots.logs('teller'),
    hub.client.runs.get(run_id),
    hub.client.runs.workflow(run_id),
  ])
  const programs = [hub.hub, hub.runner!].map(({ printed }) => JSON.stringify(printed))
  for (const place of [shown, JSON.stringify(rest), ...events, JSON.stringify(answers), ...programs])
    for (const form of forms) assert.ok(!place.includes(form), place.slice(0, 500))
  assert.deepEqual(filesWith(hub.data, forms), [])

  // It must restart with its variables, also after a restart of the hub. When it ends, they are removed.
  await hub.kill('hub')
  await hub.startHub()
  const again = await hub.client.bots.restart('teller')
  await hub.untilPrinted(again.run_id, 'done\n')
  await hub.client.bots.stop('teller')
  await hub.until('teller', 'stopped')
  await eventually('no container', async () => (await hub.containers()).length === 0)
  await eventually('no file that contains it', () => filesWith(hub.home, forms).length === 0)
  await assert.rejects(hub.client.bots.restart('teller'), { code: 'conflict', message: /deleted with it/ })
})
