import assert from 'node:assert/strict'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { place, until } from '../../../test/support/runner/attempt-fixture.ts'
import { FollowedOutput } from './followed-output.ts'

test('output is passed on as it comes, and no character is split', async () => {
  using here = place()
  const file = join(here.path, 'out')
  const parts: string[] = []
  const followed = new FollowedOutput(file, (text) => parts.push(text))
  const bytes = Buffer.from('one ü')
  appendFileSync(file, bytes.subarray(0, -1))
  await until(() => parts.join('') === 'one ')
  appendFileSync(file, bytes.subarray(-1))
  const long = 'x'.repeat(3_000_000)
  appendFileSync(file, long)
  appendFileSync(file, bytes.subarray(-2, -1))
  followed.end()
  assert.equal(parts.join(''), `one ü${long}\ufffd`)
})
