import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leadsOutside } from './safe-change.ts'

test('a link may lead to a target that is certainly within its repository', () => {
  const inside = [
    ['l', 'a'],
    ['l', './a/b'],
    ['a/b/l', '../../c'],
    ['a/l', '../.github/x'],
    ['l', 'a..b'],
  ] as const
  const outside = [
    ['l', ''],
    ['l', '/a'],
    ['l', '..'],
    ['a/l', '../..'],
    ['a/l', 'b/../../../c'],
    // The name of a link comes first, and the path goes up from where that leads.
    ['a/l', 'up/../c'],
    ['l', '.git/config'],
    ['a/l', '../.GIT'],
    ['l', 'C:/x'],
    ['l', '..\\x'],
    ['l', '\\\\server\\x'],
  ] as const
  for (const [path, target] of inside) assert.equal(leadsOutside(path, target), false, `${path} → ${target}`)
  for (const [path, target] of outside) assert.equal(leadsOutside(path, target), true, `${path} → ${target}`)
})
