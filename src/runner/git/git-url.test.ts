import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { ErrandError } from '../../contract/errors.ts'
import { checkGitRef, gitUrl } from './git-url.ts'
import { AllowedOrigins } from './server-addresses.ts'

const VARIABLE = 'ERRAND_GIT_ALLOW'
const none = new AllowedOrigins('', VARIABLE)

const evil: [url: string, message: RegExp][] = [
  ['ext::sh -c id', /space/],
  ['ext::id', /does not begin with https/],
  ['file:///etc', /does not begin with https/],
  ['/etc', /does not begin with https/],
  ['../x', /does not begin with https/],
  ['ssh://git@host/x', /does not begin with https/],
  ['git@github.com:o/r.git', /does not begin with https/],
  ['git://host/x', /does not begin with https/],
  ['ftp://host/x', /does not begin with https/],
  ['-uid', /does not begin with https/],
  ['--upload-pack=id', /does not begin with https/],
  ['https:host/x', /does not begin with https/],
  ['https+ext://host/x', /does not begin with https/],
  ['', /does not begin with https/],
  ['https://', /is not a valid URL/],
  ['https://host:99999/x', /is not a valid URL/],
  ['https://ho st/x', /space/],
  ['https://host/x\nother', /control/],
  ['https://host/x\0', /control/],
  ['https://host/%0ax', /control/],
  ['https://host\\@other/x', /backslash/],
  ['https://user@host/x', /user name or a password/],
  ['https://user:hunter2@host/x', /user name or a password/],
  ['https://@host/x', /user name or a password/],
  ['https://host/x?service=git-receive-pack', /"\?"/],
  ['https://host/x#y', /"#"/],
  ['https://host./x', /ends with "\."/],
  ['https://host', /no repository/],
  ['https://host//', /no repository/],
  ['http://host/x', /not encrypted/],
  [`https://host/${'x'.repeat(3000)}`, /longer/],
]

for (const [url, message] of evil) {
  test(`the address ${JSON.stringify(url.slice(0, 50))} is refused`, () => {
    assert.throws(
      () => gitUrl(url, none, VARIABLE),
      (error) => {
        assert.ok(error instanceof ErrandError && error.code === 'source_refused')
        assert.match(error.message, message)
        assert.ok(error.hint)
        assert.doesNotMatch(`${error.message}${error.hint}${error.stack}`, /hunter2/)
        return true
      },
    )
  })
}

test('valid addresses get one canonical form', () => {
  const form = (url: string) => gitUrl(url, none, VARIABLE).href
  assert.equal(form('https://github.com/o/r.git'), 'https://github.com/o/r.git')
  assert.equal(form('HTTPS://GitHub.com:443/o/r/'), 'https://github.com/o/r')
  assert.equal(form('https://0x7f.1/x'), 'https://127.0.0.1/x')
  assert.equal(form('https://bücher.example:8443/x'), 'https://xn--bcher-kva.example:8443/x')
})

test('the operator allows servers by scheme, host and port', () => {
  const allow = new AllowedOrigins('git.corp, git.corp:8443,http://localhost:3000', VARIABLE)
  assert.equal(gitUrl('http://localhost:3000/x', allow, VARIABLE).port, '3000')
  assert.throws(() => gitUrl('http://localhost:3001/x', allow, VARIABLE), {
    hint: 'Use https://. The operator of the runner can allow it: ERRAND_GIT_ALLOW=http://localhost:3001.',
  })
  assert.throws(() => gitUrl('http://git.corp/x', allow, VARIABLE), /not encrypted/)
  for (const url of ['https://git.corp/x', 'https://GIT.corp:443/x', 'https://git.corp:8443/x'])
    assert.ok(allow.has(new URL(url)), url)
  for (const url of ['https://git.corp:444/x', 'https://x.git.corp/x', 'https://localhost:3000/x'])
    assert.ok(!allow.has(new URL(url)), url)
  for (const entry of ['*', 'a b', 'ftp://x', 'git.corp/path', 'user@git.corp'])
    assert.throws(() => new AllowedOrigins(entry, VARIABLE), { code: 'invalid_argument' }, entry)
})

const refs = [
  'main',
  'feature/x',
  'v1.2',
  'a@b',
  '+main',
  'refs/heads/main',
  'Ж',
  'a'.repeat(40),
  'HEAD',
  '%',
  'a-b',
  "'x'",
  '$(id)',
  '',
  '@',
  '.x',
  'x.',
  'a..b',
  'a/.b',
  'a//b',
  '/a',
  'a/',
  'a.lock',
  'a.lock/b',
  'a b',
  'a\nb',
  'a\x7fb',
  'a~1',
  'a^',
  'a:b',
  'a?',
  'a*',
  'a[b',
  'a\\b',
  'a@{1}',
  ':',
  '^main',
]
const options = ['-x', '--upload-pack=id', '-', '--']

test('a name is accepted as a branch or tag exactly as git accepts it, and an option never is', () => {
  const taken = (ref: string) => {
    try {
      checkGitRef(ref)
      return true
    } catch (error) {
      assert.ok(error instanceof ErrandError && error.code === 'source_refused' && error.hint)
      return false
    }
  }
  const git = (ref: string) => {
    try {
      execFileSync('git', ['check-ref-format', '--allow-onelevel', ref], { stdio: 'ignore' })
      return true
    } catch {
      return false
    }
  }
  for (const ref of refs) assert.equal(taken(ref), git(ref), JSON.stringify(ref))
  for (const ref of [...options, 'x'.repeat(300)]) assert.equal(taken(ref), false, ref)
})
