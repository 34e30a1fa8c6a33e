import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressOf, fillPath, hrefOf, isAt, paramsOf, parseSearch } from './paths.ts'

test('an address is parsed and rebuilt unchanged', () => {
  const href = '/runs/run_1?step=a+%3E+b%401&find=%26%3D%23#step:a:27-31'
  const { path, search, hash } = addressOf(href)
  assert.deepEqual(parseSearch(search), { step: 'a > b@1', find: '&=#' })
  assert.equal(hrefOf(path, parseSearch(search), hash), href)
  assert.deepEqual(addressOf('/runs/'), { path: '/runs', search: '', hash: '' })
  assert.deepEqual(addressOf('/'), { path: '/', search: '', hash: '' })
  assert.deepEqual(addressOf('/login?next=/a?b=1#c#d'), {
    path: '/login',
    search: 'next=/a?b=1',
    hash: 'c#d',
  })
})

test('missing values are left out, and numbers stay strings', () => {
  assert.equal(hrefOf('/runs', { q: '12', status: undefined, user: '' }, ''), '/runs?q=12')
  assert.deepEqual(parseSearch('q=12'), { q: '12' })
})

test('a path gives back the values of its pattern, with any characters', () => {
  for (const id of ['run_1', 'ä b', 'a/b', '100%', '..', '$run'])
    assert.deepEqual(paramsOf('/runs/$run', fillPath('/runs/$run', { run: id })), { run: id })
  for (const other of ['/runs', '/runs/', '/tasks/a', '/runs/a/b', '/runs/%']) {
    assert.equal(paramsOf('/runs/$run', other), undefined, other)
  }
})

test('a link is active at its path and query, and below its path', () => {
  const at = (here: string, link: string) => isAt(addressOf(here), addressOf(link))
  assert.equal(at('/runs/run_1', '/runs'), true)
  assert.equal(at('/runs-of-others', '/runs'), false)
  assert.equal(at('/runs?status=failed&q=a', '/runs?status=failed'), true)
  assert.equal(at('/runs?q=a', '/runs?status=failed'), false)
})
