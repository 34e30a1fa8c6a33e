import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pageWords, reasonWords, wordsOf } from './page-words.ts'

test('the page omits what the hub says to programs', () => {
  const hints: readonly (readonly [string, string | undefined])[] = [
    [
      'Log in with: errand login URL. Programs: create a token with errand tokens create, and send "Authorization: Bearer <token>".',
      'Log in with: errand login URL.',
    ],
    ['Get the value from GET /api/me. Programs: send a token instead.', 'Programs: send a token instead.'],
    ['Release some: POST /api/pool/slots/ID/release', undefined],
    ['For example: {"run_ids": ["run_0123"]}', undefined],
    ['This request was sent with a cookie but without the right "x-errand-csrf" header.', undefined],
    ['body.permissions.ask_timeout_seconds: too small.', 'ask timeout seconds: too small.'],
    ['body: exactly one of the two is needed.', 'exactly one of the two is needed.'],
  ]
  for (const [text, words] of hints) assert.equal(pageWords(text), words)
})

test('names that people chose stay unchanged', () => {
  for (const text of [
    'Secret "API_KEY" not found.',
    'The step get_post failed. It ended with exit code 3.',
    'The command POST_ALL was not found.',
  ])
    assert.equal(pageWords(text), text)
})

test('reasons are shown as words, with the number of the exit code', () => {
  assert.equal(reasonWords('exit_code', 3), 'exit code 3')
  assert.equal(reasonWords('exit_code'), 'exit code')
  assert.equal(reasonWords('oom'), 'oom')
  assert.equal(wordsOf('child_failed'), 'child failed')
})
