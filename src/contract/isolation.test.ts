import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  AllowedHost,
  boxFor,
  ImageName,
  Isolation,
  type Network,
  networkText,
  permitted,
  readNetwork,
  shownNetwork,
  strictestAsk,
  strictestIsolation,
  strictestNetwork,
} from './isolation.ts'

const isolations = fc.option(fc.constantFrom(...Isolation.options), { nil: undefined })
const hosts = fc.constantFrom('a.example', '*.example', 'b.a.example', 'a.example:8080', 'db@private', 'db')
const networks: fc.Arbitrary<Network | undefined> = fc.option(
  fc.oneof(
    fc.constantFrom('all' as const, 'models' as const, 'none' as const),
    fc.record({ allow: fc.uniqueArray(hosts, { minLength: 1 }) }),
  ),
  { nil: undefined },
)
const requests = fc.record({ isolation: isolations, network: networks })

/** Reports whether a network lets a host through; without a network every host is reachable. */
function reaches(network: Network | undefined, host: string): boolean {
  if (network === undefined || network === 'all') return true
  if (typeof network === 'string') return false
  return network.allow.some(
    (one) => one === host || (one.startsWith('*.') && host.endsWith(one.slice(1)) && !host.includes(':')),
  )
}

test('the stricter of any demands applies, in any order', () => {
  const rank = (isolation: Isolation | undefined) => Isolation.options.indexOf(isolation ?? 'none')
  fc.assert(
    fc.property(requests, requests, requests, (a, b, c) => {
      const all = strictestAsk(strictestAsk(a, b), c)
      for (const one of [a, b, c]) {
        assert.ok(rank(all.isolation) >= rank(one.isolation))
        for (const host of ['a.example', 'b.a.example', 'other.org', 'a.example:8080'])
          if (!reaches(one.network, host)) assert.ok(!reaches(all.network, host), host)
      }
      const other = strictestAsk(c, strictestAsk(b, a))
      assert.equal(other.isolation, all.isolation)
      for (const host of ['a.example', 'b.a.example', 'other.org', 'a.example:8080'])
        assert.equal(reaches(other.network, host), reaches(all.network, host), host)
    }),
  )
})

test('a limited network needs at least a sandbox, whoever asks for it', () => {
  assert.equal(boxFor(undefined, undefined), undefined)
  assert.equal(boxFor('none', 'all'), 'none')
  assert.equal(boxFor('none', 'models'), 'sandbox')
  assert.equal(boxFor('container', 'none'), 'container')
  assert.deepEqual(strictestAsk({ isolation: 'none' }, { network: { allow: ['a.example'] } }), {
    isolation: 'sandbox',
    network: { allow: ['a.example'] },
  })
})

test('lists of hosts are reduced to what both allow', () => {
  const both = (a: string[], b: string[]) => strictestNetwork({ allow: a }, { allow: b })
  assert.deepEqual(both(['*.example', 'x.org'], ['a.example']), { allow: ['a.example'] })
  assert.equal(both(['a.example'], ['b.example']), 'models')
  assert.equal(both(['a.example'], ['a.example:8080']), 'models')
  assert.deepEqual(both(['a.example'], ['a.example:443']), { allow: ['a.example:443'] })
  assert.deepEqual(both(['*.example'], ['*.a.example', 'example', 'A.EXAMPLE.']), {
    allow: ['*.a.example', 'A.EXAMPLE.'],
  })
  assert.deepEqual(both(['db:5432@private'], ['db:5432']), { allow: ['db:5432'] })
  assert.equal(strictestIsolation(undefined, undefined), undefined)
})

test('only the operator opens private hosts', () => {
  const requested: Network = { allow: ['db:5432@private', 'a.example'] }
  const closed = { allow: ['db:5432', 'a.example'] }
  for (const operators of [
    undefined,
    'all',
    'models',
    { allow: ['a.example'] },
    { allow: ['db:5432'] },
  ] as const)
    assert.deepEqual(permitted(requested, operators as Network | undefined), closed)
  assert.deepEqual(permitted(requested, { allow: ['db:5432@private'] }), requested)
  assert.equal(permitted('all', undefined), 'all')
  assert.equal(permitted(undefined, requested), undefined)
})

test('reads hosts, networks and images in the usual notation, and nothing else', () => {
  for (const host of [
    'github.com',
    '*.npmjs.org',
    'db:5432@private',
    'localhost:8080',
    'GitHub.com',
    '10.0.0.5',
  ])
    assert.ok(AllowedHost.safeParse(host).success, host)
  for (const host of [
    '',
    '*',
    'https://github.com',
    'a b',
    '*.*.org',
    'x:0',
    'x:70000',
    'a/b',
    'a\n',
    '[::1]',
    '-a',
  ])
    assert.ok(!AllowedHost.safeParse(host).success, host)
  assert.equal(readNetwork(' models '), 'models')
  assert.deepEqual(readNetwork('github.com, *.npmjs.org,'), { allow: ['github.com', '*.npmjs.org'] })
  for (const text of ['', ',', 'https://x', 'all,none/']) assert.equal(readNetwork(text), undefined, text)
  for (const image of ['node:22', 'registry.example.com:5000/a/b:1', `x@sha256:${'a'.repeat(64)}`])
    assert.ok(ImageName.safeParse(image).success, image)
  for (const image of ['', '-v', 'a b', '--privileged', 'x\n', '../x'])
    assert.ok(!ImageName.safeParse(image).success, image)
})

test('a long list of hosts shows its first ones and the number of the others', () => {
  const allow = Array.from({ length: 500 }, (_, n) => `h${n}.example`)
  assert.deepEqual(shownNetwork({ allow }), { allow: allow.slice(0, 20) })
  assert.ok(networkText({ allow }).endsWith(', h19.example and 480 more'))
  assert.equal(networkText({ allow: ['a', 'b'] }), 'a, b')
  assert.equal(shownNetwork('models'), 'models')
})
