import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tokenNames } from './repository-tokens.ts'

test("a token goes to the servers that its name or the operator says, and an address that hides its server's gets less", () => {
  const any = tokenNames()
  const some = tokenNames(['Git.example.org', '10.0.0.1:3000'])
  const cases: [string | undefined, string[], string[]][] = [
    ['https://github.com/o/r', ['GIT_TOKEN', 'GITHUB_TOKEN'], ['GITHUB_TOKEN']],
    ['git@github.com:o/r.git', ['GIT_TOKEN', 'GITHUB_TOKEN'], ['GITHUB_TOKEN']],
    ['https://github.com.evil.org/o/r', ['GIT_TOKEN'], []],
    ['https://github.com@evil.org/o/r', ['GIT_TOKEN'], []],
    ['https://github.com:8443/o/r', ['GIT_TOKEN'], []],
    ['https://git.example.org/o/r', ['GIT_TOKEN'], ['GIT_TOKEN']],
    ['https://GIT.EXAMPLE.ORG/${REPO}', ['GIT_TOKEN'], ['GIT_TOKEN']],
    ['https://git.example.org${REST}/o/r', ['GIT_TOKEN'], []],
    ['https://git.example.org\\@evil.org/o/r', ['GIT_TOKEN'], ['GIT_TOKEN']],
    ['${ALL}', ['GIT_TOKEN'], []],
    ['http://10.0.0.1:3000/o/r', ['GIT_TOKEN'], ['GIT_TOKEN']],
    ['http://10.0.0.1/o/r', ['GIT_TOKEN'], []],
    ['file:///srv/git/r', ['GIT_TOKEN'], []],
    [undefined, ['GIT_TOKEN'], []],
  ]
  for (const [repo, ofAny, ofSome] of cases)
    assert.deepEqual([any(repo), some(repo)], [ofAny, ofSome], String(repo))
})
