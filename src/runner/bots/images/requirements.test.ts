import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeRequirements, pythonRequirements, requirementLines } from './requirements.ts'
import { nodeRecipe } from './simple-source.ts'

const python = (...list: string[]) => pythonRequirements(requirementLines(list, 'requirements'))
const node = (...list: string[]) => nodeRequirements(requirementLines(list, 'requirements'))

test('Python requirements follow PEP 508', () => {
  const good = [
    'aiogram',
    'aiogram>=3.0',
    'requests[socks,security] == 2.32.*',
    'zope.interface (>=5,<6)',
    'a~=1.0, !=1.0.3',
    'x>=1; python_version < "3.12" and (sys_platform == \'linux\' or extra == "a b")',
    'y ; "linux" in sys_platform or python_version not in "3.8, 3.9"',
    'z===1.0+local.1',
  ]
  assert.deepEqual(python(...good), good)
  assert.deepEqual(python('', '# comment', ' a==1  # why', '\t'), ['a==1'])
})

test('any other Python requirements are refused with their line', () => {
  const bad: [string, RegExp][] = [
    ['-r other.txt', /^Line 1 of requirements is an option/],
    ['--index-url http://x', /is an option/],
    ['a --hash=sha256:00', /is not a requirement/],
    ['a @ https://x.org/a.whl', /is a URL/],
    ['git+https://x.org/a', /is a URL/],
    ['./a', /is not a requirement/],
    ['a\nRUN id', /contains a line break/],
    ['a\r', /contains a line break/],
    ['a\u2028b', /contains a line break/],
    ['a==1 \\', /is not a requirement/],
    ['a==${HOME}', /is not a requirement/],
    ['a; $(id)', /has a marker/],
    ['a; python_version', /has a marker/],
    ['a; (python_version < "3"', /has a marker/],
    ['a b', /is not a requirement/],
    ['a==', /is not a requirement/],
    ['ä', /is not a requirement/],
    [`a${' '.repeat(990)}!`, /is not a requirement/],
    ['a'.repeat(1001), /is longer than/],
  ]
  for (const [text, message] of bad)
    assert.throws(() => python(text), { code: 'source_refused', message }, JSON.stringify(text))
  assert.throws(() => python('a', '', '-e .'), { message: /^Line 3 / })
})

test('Node requirements are npm names with a range or a tag', () => {
  assert.deepEqual(
    node('telegraf', '@grammyjs/menu@1', 'ms@^2.1', 'a@>=1.2 <3 || 5.x', 'b@1.0.0 - 2.0.0', 'c@next', 'd@*'),
    {
      telegraf: 'latest',
      '@grammyjs/menu': '1',
      ms: '^2.1',
      a: '>=1.2 <3 || 5.x',
      b: '1.0.0 - 2.0.0',
      c: 'next',
      d: '*',
    },
  )
  const bad = [
    'telegraf==4',
    'UPPER',
    '-g',
    '../x',
    'a@file:../x',
    'a@npm:b@1',
    'a@git+https://x',
    'a@https://x',
    'a@user/repo',
    'a@',
    '__proto__',
    '.a',
    'a b',
    '@a',
    'a@$(id)',
    'a\nb',
    'a@1 && id',
  ]
  for (const text of bad)
    assert.throws(() => node(text), { code: 'source_refused', message: /^Line 1 / }, text)
})

test('a long range that does not match is refused quickly, without trying every combination', () => {
  for (const part of ['1 || ', '1 = ', '>=1 ', 'v= 1 ', '1 - 1 '])
    assert.throws(() => node(`a@${part.repeat(900 / part.length)}!`), { code: 'source_refused' }, part)
  assert.deepEqual(node('a@>= 1.2 < 3 || ~> 4 || =v5 - 6'), { a: '>= 1.2 < 3 || ~> 4 || =v5 - 6' })
})

test('a package.json and a list are merged, and the lock file is used if it covers everything', () => {
  const own = JSON.stringify({ type: 'module', dependencies: { a: '1' } })
  const lock = '{"lockfileVersion": 3}'
  const files = new Map([
    ['package.json', own],
    ['package-lock.json', lock],
  ])
  const locked = nodeRecipe([], files)
  assert.deepEqual(Object.keys(locked.dependencies), ['package.json', 'package-lock.json'])
  assert.match(locked.install[0]!, /^RUN npm ci /)
  const more = nodeRecipe(['b@2'], files)
  assert.deepEqual(JSON.parse(more.dependencies['package.json']!).dependencies, { a: '1', b: '2' })
  assert.match(more.install[0]!, /^RUN npm install .*--ignore-scripts/)
  assert.deepEqual(nodeRecipe([], new Map()).dependencies, {})
  for (const text of ['no', '[]', 'null', '{"dependencies": []}'])
    assert.throws(() => nodeRecipe([], new Map([['package.json', text]])), { code: 'source_refused' }, text)
})
