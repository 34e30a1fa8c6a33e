import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BotSource } from '../../contract/bots/bot.ts'
import { startRequired } from './restart-spec.ts'

test('shows how to restart a bot for each source, with nothing that a shell would interpret', () => {
  const commandOf = (source: object, names = ['TOKEN', 'OTHER'], storedPassword?: string) =>
    startRequired('bot', { source: BotSource.parse(source), names, storedPassword }).hint!.replace(
      /^.*: errand bot start bot /,
      '',
    )
  const files = { 'lib/a b.py': '', "x'; rm -rf ~ '": '', 'bot.py': '' }
  assert.equal(
    commandOf({ mode: 'simple', files, entrypoint: 'bot.py' }),
    `--simple bot.py 'lib/a b.py' 'x'\\''; rm -rf ~ '\\''' -e TOKEN -e OTHER`,
  )
  assert.equal(commandOf({ mode: 'archive', upload: '0f'.repeat(32) }, ['A']), '--custom FOLDER -e A')
  assert.equal(
    commandOf({ mode: 'git', url: 'https://x.org/a', ref: 'v1' }, ['A']),
    '--custom https://x.org/a --ref v1 -e A',
  )
  const git = { mode: 'git', url: 'https://x.org/a', git_auth: { password_secret: 'BOT_REGISTRY_PASSWORD' } }
  assert.equal(commandOf(git, ['BOT_REGISTRY_PASSWORD']), '--custom https://x.org/a --git-token')
  assert.equal(commandOf(git, ['A'], 'GIT_TOKEN'), '--custom https://x.org/a --git-secret GIT_TOKEN -e A')
  const built = { username: 'ann', attempt_id: 'run_1.1' }
  assert.equal(
    commandOf({ mode: 'git', url: 'https://x.org/a', built }, ['A']),
    '--custom https://x.org/a --username ann --git-token -e A',
  )
  const registry_auth = { username: 'ann', password_secret: 'BOT_REGISTRY_PASSWORD' }
  assert.equal(
    commandOf({ mode: 'image', image: 'ghcr.io/a/b:v1', registry_auth }, ['BOT_REGISTRY_PASSWORD']),
    '--image ghcr.io/a/b:v1 --username ann',
  )
  const pulled = { username: 'an n', attempt_id: 'run_1.1' }
  assert.equal(
    commandOf({ mode: 'image', image: 'ghcr.io/a/b:v1', pulled }, ['A']),
    "--image ghcr.io/a/b:v1 --username 'an n' -e A",
  )
})
