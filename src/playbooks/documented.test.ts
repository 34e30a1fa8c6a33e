import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Playbook, PlaybookStep } from '../contract/tasks/playbook.ts'
import { parseCondition } from './condition.ts'
import { parsePlaybooks } from './parse.ts'

const page = readFileSync(new URL('../../docs/playbooks.md', import.meta.url), 'utf8')

test('every example in the page on playbooks is valid', () => {
  const examples = [...page.matchAll(/```yaml\n(.*?)```/gs)].map((match) => match[1]!)
  assert.equal(examples.length, 2)
  for (const example of examples)
    assert.deepEqual(parsePlaybooks(example, { file: 'x' }).problems, [], example)
  const conditions = /## Conditions\n\n```\n(.*?)```/s.exec(page)![1]!.trim().split('\n')
  assert.equal(conditions.length, 3)
  for (const condition of conditions) parseCondition(condition)
})

test('the page lists every key, with its default', () => {
  for (const name of Object.keys(Playbook.shape)) assert.match(page, new RegExp(`^\\| \`${name}\` \\|`, 'm'))
  const defaults = PlaybookStep.parse({ name: 'a', command: 'b' }) as Record<string, unknown>
  for (const name of Object.keys(PlaybookStep.shape)) {
    const row = [...page.matchAll(new RegExp(`^\\| \`${name}\` \\|.*\\| (.*) \\|$`, 'gm'))].at(-1)
    assert.ok(row, name)
    if (!['name', 'command'].includes(name))
      assert.equal(row[1]!.replaceAll('`', ''), String(defaults[name] ?? '–'), name)
  }
})
