import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { commandParts } from './items.ts'
import { readingCommand } from './reading-command.ts'

const read = (command: string) => readingCommand(command, '/w')

describe('a command of codex', () => {
  it('is reading, with all the paths that it names, if it can do nothing else', () => {
    assert.deepEqual(read('cat a.txt /etc/hosts'), { tool_kind: 'read', paths: ['/w/a.txt', '/etc/hosts'] })
    assert.deepEqual(read("sed -n '1,20p' src/a.ts b"), { tool_kind: 'read', paths: ['/w/src/a.ts', '/w/b'] })
    assert.deepEqual(read('nl -ba "my file" | sed -n 3p'), { tool_kind: 'read', paths: ['/w/my file'] })
    assert.deepEqual(read('head -n 5 ../x; wc -l y'), { tool_kind: 'read', paths: ['/w/../x', '/w/y'] })
    assert.deepEqual(read('ls -la && cat .env'), { tool_kind: 'search', paths: ['/w', '/w/.env'] })
    assert.deepEqual(read('rg -n "a|b" | head -20'), { tool_kind: 'search', paths: ['/w'] })
    assert.deepEqual(read("rg foo -g '*.ts' -A 3 src"), { tool_kind: 'search', paths: ['/w/src'] })
    assert.deepEqual(read("grep -rn 'foo bar' a b"), { tool_kind: 'search', paths: ['/w/a', '/w/b'] })
  })

  it('keeps a `..`, because the links before it must be followed first', () => {
    assert.deepEqual(read('cat link/../x'), { tool_kind: 'read', paths: ['/w/link/../x'] })
  })

  const more = [
    ...['', '|', 'cat a |', 'cat a | tee b', 'cat a | sort -o b', 'ls | xargs rm', 'find . -exec rm {} +'],
    ...['find . -fprint a', 'rg --pre ./x y', 'rg -z x', 'git grep -Ox y', 'grep -f a b', 'tree -o a'],
    ...[
      'cat a > b',
      'cat a >b',
      'cat < a',
      'cat a & rm b',
      'cat a\nrm b',
      'cat $(rm b)',
      'cat `rm b`',
      'cat "$(rm b)"',
    ],
    ...[
      'cat a*',
      'cat ~/.ssh/id',
      'cat {a,b}',
      'cat \\a',
      'cat "a\\"',
      "cat 'a'b",
      'X=1 cat a',
      'cd /etc && cat a',
    ],
    ...['sed -i s/a/b/ c', "sed -n 'w b' a", 'sed -n 1p -i a', 'sed -n 1,2p -e 1w', 'tail -f a', './cat a'],
    ...['sort a', 'echo a', 'cat --help', 'constructor', 'toString a'],
  ]
  for (const command of more)
    it(`is not reading if it may do more: ${JSON.stringify(command)}`, () => {
      assert.equal(read(command), undefined)
    })

  it('is judged by what codex runs and where, not by what codex says about it', () => {
    const actions = [{ type: 'read', command: 'cat a', name: 'a', path: '/w/a' }]
    const parts = (command: string) => commandParts({ command, cwd: '/srv', commandActions: actions })
    const { tool_kind, paths, title } = parts("/bin/bash -lc 'cat a'")
    assert.deepEqual([tool_kind, paths, title], ['read', ['/srv/a'], 'cat a'])
    const piped = parts("/bin/bash -lc 'cat a | tee b'")
    assert.deepEqual([piped.tool_kind, piped.paths], ['execute', undefined])
    // The model may have created a file with this name.
    const own = parts("/srv/bash -lc 'cat a'")
    assert.deepEqual([own.tool_kind, own.title], ['execute', "/srv/bash -lc 'cat a'"])
  })
})
