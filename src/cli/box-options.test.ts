import assert from 'node:assert/strict'
import test from 'node:test'
import { boxAsk } from './box-options.ts'

test('options request a box with exactly what is given', () => {
  assert.deepEqual(boxAsk({}), {})
  assert.deepEqual(boxAsk({ isolation: 'sandbox', network: 'github.com, *.npmjs.org' }), {
    isolation: 'sandbox',
    network: { allow: ['github.com', '*.npmjs.org'] },
  })
  assert.deepEqual(boxAsk({ isolation: 'none', network: 'all', image: 'node:22' }), {
    isolation: 'none',
    network: 'all',
    image: 'node:22',
  })
})

test('impossible options are a usage error that says what is possible', () => {
  const wrong: [Parameters<typeof boxAsk>[0], RegExp, RegExp][] = [
    [{ isolation: 'docker' }, /--isolation is "docker"/, /none, sandbox, container/],
    [{ network: 'https://x' }, /--network is "https:\/\/x"/, /github\.com,\*\.npmjs\.org/],
    [{ network: '' }, /--network is ""/, /all, models, none/],
    [{ isolation: 'none', network: 'models' }, /--network needs a box/, /--isolation sandbox/],
    [{ image: '--privileged' }, /--image is "--privileged"/, /name:tag/],
  ]
  for (const [options, message, hint] of wrong)
    assert.throws(
      () => boxAsk(options),
      (error: Error & { hint?: string }) => message.test(error.message) && hint.test(error.hint ?? ''),
      JSON.stringify(options),
    )
})
