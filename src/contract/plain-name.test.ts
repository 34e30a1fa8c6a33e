import assert from 'node:assert/strict'
import test from 'node:test'
import { nameFault } from './names.ts'
import { Labels, PlainName } from './plain-name.ts'
import { Hello } from './protocol.ts'

test('accepts a name in any script, and the error names the character and its position', () => {
  for (const name of ['server-01', 'Rechner im Keller', 'сервер', '機械', 'a😀b', 'می‌خواهم', 'x'.repeat(200)])
    assert.equal(nameFault(name, 200), undefined, name)
  for (const [name, fault] of [
    ['', 'it is empty'],
    ['  ', 'it is empty'],
    [' a', 'it begins or ends with a blank'],
    ['ab\n', 'it contains the character U+000A at position 3'],
    ['\u0000', 'it contains the character U+0000 at position 1'],
    ['a\u001b[31m', 'it contains the character U+001B at position 2'],
    ['a\u202eb', 'it contains the character U+202E at position 2'],
    ['server\u200b-01', 'it contains the character U+200B at position 7'],
    ['\ufeffa', 'it contains the character U+FEFF at position 1'],
    ['a\u2028b', 'it contains the character U+2028 at position 2'],
    ['a\ud83d', 'it contains the character U+D83D at position 2'],
    ['x'.repeat(201), 'it has 201 characters; the maximum is 200'],
  ] as const)
    assert.equal(nameFault(name, 200), fault, JSON.stringify(name))
  assert.equal(
    PlainName.safeParse('a\tb').error?.issues[0]?.message,
    'it contains the character U+0009 at position 2',
  )
})

test('a label may have no value, but no misleading value or name', () => {
  assert.equal(Labels.safeParse({ gpu: '', zone: 'a b' }).success, true)
  for (const wrong of [{ '': 'x' }, { 'a\n': 'x' }, { a: 'x\n' }, { a: 'x'.repeat(201) }])
    assert.equal(Labels.safeParse(wrong).success, false, JSON.stringify(wrong))
})

test('refuses misleading text in what a runner reports about itself and lists show', () => {
  const hello = {
    ...{ type: 'hello', protocol: 1, version: '0.1.0', runner_id: 'r', boot_id: 'b', group: 'g', labels: {} },
    ...{ mode: 'all', hostname: 'h', cpus: 1, memory_bytes: 1, slots: 1, attempts: [] },
    containers: { engine: 'docker', version: '' },
  }
  assert.equal(Hello.safeParse(hello).success, true)
  const { containers } = hello
  for (const bad of ['1\u001b[2J', '1\u202e0', '1\u009b0', '1\u00850'])
    for (const wrong of [
      { version: bad },
      { hostname: bad },
      { containers: { ...containers, engine: bad } },
      { containers: { ...containers, version: bad } },
    ])
      assert.equal(Hello.safeParse({ ...hello, ...wrong }).success, false, JSON.stringify(wrong))
})
