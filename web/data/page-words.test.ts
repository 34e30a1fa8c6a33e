import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pageWords, reasonWords, wordsOf } from './page-words.ts'

test('what the hub says to programs is left out on the page', () => {
  const hints: readonly (readonly [string, string | undefined])[] = [
    [
      'Log in with: errand login URL. A program sends "Authorization: Bearer <token>", made with: errand tokens create.',
      'Log in with: errand login URL.',
    ],
    ['GET /api/me answers it. A program sends a token instead.', 'A program sends a token instead.'],
    ['Release some: POST /api/pool/slots/ID/release', undefined],
    ['Such as {"run_ids": ["run_0123"]}', undefined],
    ['This request came by cookie without the right "x-errand-csrf".', undefined],
    ['body.permissions.ask_timeout_seconds: too small.', 'ask timeout seconds: too small.'],
    ['body: exactly one of the two is needed.', 'exactly one of the two is needed.'],
  ]
  for (const [text, words] of hints) assert.equal(pageWords(text), words)
})

test('what people have named stays as it is', () => {
  for (const text of [
    'There is no secret "API_KEY".',
    'The step get_post failed. It ended with exit code 3.',
    'The command POST_ALL was not found.',
  ])
    assert.equal(pageWords(text), text)
})

test('reasons are words, with the number of the exit code', () => {
  assert.equal(reasonWords('exit_code', 3), 'exit code 3')
  assert.equal(reasonWords('exit_code'), 'exit code')
  assert.equal(reasonWords('oom'), 'oom')
  assert.equal(wordsOf('child_failed'), 'child failed')
})
