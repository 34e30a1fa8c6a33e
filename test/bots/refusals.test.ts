import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { botsHere, startBotHub } from '../support/bot-hub.ts'
import { eventually } from '../support/errand-command.ts'

const skip = await botsHere()

test("errors in a bot's command line are reported with what to do", { skip }, async (t) => {
  const hub = await startBotHub(t)
  const cwd = join(hub.home, 'sources')
  const file = (path: string, text: string) => {
    mkdirSync(join(cwd, path, '..'), { recursive: true })
    writeFileSync(join(cwd, path), text)
  }
  file('bot.py', 'print("up")\n')
  file('lib.py', '')
  file('dies.py', 'import sys\nprint("I have no token", file=sys.stderr)\nsys.exit(4)\n')
  file('no-dockerfile/bot.py', '')
  file(
    'broken/Dockerfile',
    `FROM ${hub.images.busybox}\nRUN echo compiling; echo "no such header" >&2; exit 3\n`,
  )
  file('odd/Dockerfile', `FROM ${hub.images.busybox}\nFETCH things\n`)
  const cases: [string[], RegExp[], code?: 2][] = [
    [
      ['a', '--simple', 'bot.py', 'lib.py', '--entrypoint', 'main.py'],
      [/"main.py" is not among the files/, /"bot.py", "lib.py"/],
      2,
    ],
    [['b', '--simple', 'missing.py'], [/missing\.py/], 2],
    [['c', '--simple', 'bot.py', '--image', 'busybox'], [/--simple and --image name two sources/], 2],
    [['no name', '--simple', 'bot.py'], [/a bot id is at most 63 letters/], 2],
    [
      ['d', '--simple', 'bot.py', '-r', '-r /etc/passwd'],
      [/Line 1 of requirements is an option.*-r \/etc\/passwd.*Write/],
    ],
    [['e', '--simple', 'bot.py', '-r', 'aiogram\nRUN evil'], [/line break/]],
    [['f', '--custom', 'no-dockerfile'], [/There is no file "Dockerfile".*Put/]],
    [
      ['g', '--custom', 'broken'],
      [/code: 3/, /^no such header$/m],
    ],
    [['h', '--custom', 'odd'], [/FETCH/i]],
    [
      ['i', '--simple', 'dies.py'],
      [/Exit code 4/, /I have no token/],
    ],
    [
      ['j', '--custom', 'https://127.0.0.1/bot.git'],
      [/127\.0\.0\.1/, /not on the public internet.*ERRAND_GIT_ALLOW/],
    ],
    [['k', '--custom', 'ext::sh -c id'], [/folder or archive ext::sh -c id not found/], 2],
    [['l', '--image', 'Not/An Image'], [/Not\/An Image/]],
  ]
  for (const [args, expected, code = 1] of cases) {
    const done = await hub.errand.run(['bot', 'start', ...args], { env: hub.env, cwd })
    for (const each of expected) assert.match(done.stderr, each, args.join(' '))
    assert.equal(done.code, code, done.stderr)
  }
  assert.equal((await hub.containers()).length, 0)
})

test('without Docker a bot waits, and says what for', { skip }, async (t) => {
  const hub = await startBotHub(t, { runnerEnv: { DOCKER_HOST: 'tcp://127.0.0.1:1' } })
  await hub.startShell('waits', 'echo up')
  const bot = await eventually('what it waits for', async () => {
    const bot = await hub.client.bots.get('waits')
    return bot.message !== undefined && bot
  })
  assert.equal(bot.state, 'start')
  assert.match(bot.message!, /has a container engine \(start Docker/)
  await hub.client.bots.stop('waits')
  await hub.until('waits', 'stopped')
})
