import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { promisify } from 'node:util'
import { botsHere, startBotHub } from '../support/bot-hub.ts'
import { startTelegramStandIn } from '../support/telegram-stand-in.ts'

const execute = promisify(execFile)
const folder = join(import.meta.dirname, '../../examples/bots')
const skip = await botsHere()
const TOKEN = '7204816359:AAE-one-that-nobody-has'

test('the example bots answer in a chat when started as their READMEs say', { skip }, async (t) => {
  const telegram = await startTelegramStandIn(t)
  const hub = await startBotHub(t, {
    hubEnv: { ERRAND_MAX_BOTS: '5' },
    runnerEnv: { ERRAND_BOT_ALLOW: telegram.place },
  })
  const cwd = join(hub.home, 'bots')
  cpSync(folder, cwd, { recursive: true })
  // The image of that name is a stand-in with a name of its own.
  const dockerfile = join(cwd, 'own-dockerfile/Dockerfile')
  writeFileSync(
    dockerfile,
    readFileSync(dockerfile, 'utf8').replace('FROM python:3.11-slim', `FROM ${hub.images.python}`),
  )

  const command = (name: string): string => {
    const found = new RegExp(`\\[${name}\\].*\`(errand bot start .*)\``).exec(
      readFileSync(join(cwd, 'README.md'), 'utf8'),
    )
    return found![1]!.replace(/^errand/, '"$ERRAND"')
  }
  const errand = join(import.meta.dirname, '../../bin/errand')
  const env = { ...hub.errand.env, ...hub.env, ERRAND: errand, BOT_TOKEN: TOKEN }
  const start = (name: string) =>
    execute('sh', ['-c', `${command(name)} --plain TELEGRAM_API=${telegram.url}`], { cwd, env })

  const talks = [
    { name: 'echo', says: [['hello', /^hello$/]] },
    {
      name: 'several-files',
      says: [
        ['/list', /^3 x tea, 1 x coffee$/],
        ['/buy coffee', /^here is your coffee$/],
        ['/buy coffee', /^there is no coffee$/],
      ],
    },
    { name: 'own-dockerfile', says: [['what now', /^[A-Z].*\.$/]] },
    {
      name: 'grammy',
      says: [
        ['hi', /^message 1: hi$/],
        ['ho', /^message 2: ho$/],
      ],
    },
    { name: 'aiogram', says: [['louder', /^LOUDER$/]] },
  ] as const
  for (const [index, { name, says }] of talks.entries()) {
    await t.test(name, async () => {
      const { stdout } = await start(name)
      const [, bot] = /^(\w+) is running/m.exec(stdout) ?? []
      for (const [text, answer] of says)
        assert.match(await telegram.ask(TOKEN, { chat: index + 1, text }), answer)
      // One at a time, because all have the same token.
      const { stdout: stopped } = await hub.call('bot', 'stop', bot!)
      assert.equal(stopped, `${bot} is stopped.\n`)
    })
  }
})
