import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isErrandError } from '../contract/errors.ts'
import { isPullAddress, issueAddress, repositoryAddress } from './address.ts'

const read: Record<string, [host: string, path: string]> = {
  'https://github.com/acme/app': ['github.com', 'acme/app'],
  'https://github.com/acme/app.git/': ['github.com', 'acme/app'],
  'https://GitHub.com:443/acme/app.js': ['github.com', 'acme/app.js'],
  'https://user:pass@git.example.org:8443/acme/app.git': ['git.example.org:8443', 'acme/app'],
  'git@gitlab.com:group/sub/deep/app.git': ['gitlab.com', 'group/sub/deep/app'],
  'gitlab.com:group/app': ['gitlab.com', 'group/app'],
  'ssh://git@git.example.org:2222/acme/app.git': ['git.example.org', 'acme/app'],
}
for (const [text, [host, path]] of Object.entries(read))
  test(`${text} is ${path} at ${host}`, () => {
    const address = repositoryAddress(text)
    assert.deepEqual([address.host, address.path], [host, path])
  })

for (const text of [
  '',
  'acme/app',
  'https://github.com/acme',
  'file:///etc/passwd',
  'https://github.com/acme/..%2f..',
  'https://github.com/acme/a%00b',
  'https://github.com/acme/%zz',
  'ext::sh -c id',
  'git@host:-oProxyCommand=x',
])
  test(`"${text}" is not an address of a repository`, () => {
    assert.throws(() => repositoryAddress(text), { code: 'invalid_argument' })
  })

test('an error does not repeat a credential from the address', () => {
  assert.throws(
    () => repositoryAddress('https://me:s3cret@github.com/acme'),
    (error) => isErrandError(error) && !error.message.includes('s3cret'),
  )
})

test('addresses of issues are recognized', () => {
  assert.deepEqual(issueAddress('https://github.com/acme/app/issues/12'), {
    host: 'github.com',
    path: 'acme/app',
    protocol: 'https',
    number: 12,
    kind: undefined,
  })
  const nested = issueAddress('https://gitlab.example.org/g/h/app/-/issues/7#note_1')
  assert.deepEqual([nested?.path, nested?.number, nested?.kind], ['g/h/app', 7, 'gitlab'])
  assert.equal(issueAddress('https://gitlab.example.org/g/app/-/work_items/9')?.number, 9)
  for (const rest of ['/', '?from=mail#issuecomment-3', '#issuecomment-3', '/?tab=1']) {
    const same = issueAddress(`https://GitHub.com:443//acme/app/issues/12${rest}`)
    assert.deepEqual([same?.host, same?.path, same?.number], ['github.com', 'acme/app', 12], rest)
  }
  assert.equal(issueAddress('http://git.example.org:3000/acme/app/issues/1')?.host, 'git.example.org:3000')
  assert.equal(issueAddress('https://b\u00fccher.example/acme/app/issues/1')?.host, 'xn--bcher-kva.example')
  for (const none of [
    ...['https://github.com/acme/app', 'https://github.com/acme/app/pull/12', 'task.yaml', '#12', ''],
    ...['//github.com/acme/app/issues/12', 'https:///github.com/acme/app/issues/12', 'https://'],
    ...['https:github.com/acme/app/issues/12', 'https:\\\\github.com\\acme\\app\\issues\\12'],
    ...[
      'https://github.com@evil.example/acme/app/issues/12',
      'https://me:pass@github.com/acme/app/issues/12',
    ],
    ...['https://github.com:99999/acme/app/issues/12', 'https://git hub.com/acme/app/issues/12'],
    ...['https://github.com/acme/app/issues/1\n2', 'https://github.com/acme/app/issues/1\t2'],
    ...['https://github.com/acme/app/issues/0', 'https://github.com/acme/app/issues/-1'],
    ...['https://github.com/acme/app/issues/1e3', 'https://github.com/acme/app/issues/\u0661'],
    `https://github.com/acme/app/issues/${'9'.repeat(400)}`,
    ...['https://github.com/acme/issues/12', 'https://github.com/acme/a%00b/issues/12'],
    ...['https://github.com/acme/%zz/issues/12', 'https://github.com/acme/..%2f..%2fx/issues/12'],
    ...['https://github.com/acme/b\u00fccher/issues/12', 'ssh://git@github.com/acme/app/issues/12'],
  ])
    assert.equal(issueAddress(none), undefined, none)
})

test('addresses of pull requests are recognized', () => {
  for (const one of [
    ...['https://github.com/acme/app/pull/12', 'https://github.com/acme/app/pull/12/files#diff'],
    ...['https://codeberg.org/acme/app/pulls/3', 'https://gitlab.com/g/h/app/-/merge_requests/4'],
  ])
    assert.ok(isPullAddress(one), one)
  for (const none of ['https://github.com/acme/app/issues/12', 'https://github.com/acme/pull/x', 'pull/12'])
    assert.ok(!isPullAddress(none), none)
})
