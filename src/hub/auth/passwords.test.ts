import assert from 'node:assert/strict'
import test from 'node:test'
import { Passwords } from './passwords.ts'

test('a password differs from another one, and two hashes of it differ', async () => {
  const passwords = new Passwords()
  const [one, other] = await Promise.all([passwords.hash('correct horse'), passwords.hash('correct horse')])
  assert.notEqual(one, other)
  assert.ok(!one.includes('correct'))
  assert.equal(await passwords.verify('correct horse', one), true)
  assert.equal(await passwords.verify('Correct horse', one), false)
})

test('verifies a hash made with other cost parameters', async () => {
  // scrypt of "pleaseletmein" with salt "SodiumChloride", N=16384, r=8, p=1: RFC 7914, section 12.
  const key = Buffer.from(
    '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887',
    'hex',
  )
  const hash = `scrypt$16384$8$1$${Buffer.from('SodiumChloride').toString('base64url')}$${key.toString('base64url')}`
  assert.equal(await new Passwords().verify('pleaseletmein', hash), true)
})

test('without a hash, or with an invalid one, every password is wrong', async () => {
  const passwords = new Passwords()
  assert.equal(await passwords.verify('anything', undefined), false)
  assert.equal(await passwords.verify('anything', 'none'), false)
})

test('refuses logins beyond the queue at once, and answers the earlier ones', async () => {
  const passwords = new Passwords()
  const cheap = 'scrypt$2$1$1$AAAA$AAAA'
  const order: string[] = []
  const answers = await Promise.all(
    Array.from({ length: 100 }, () =>
      passwords.verify('x', cheap, { from: 'one' }).then(
        () => order.push('answered'),
        (error) => {
          assert.equal(error.code, 'rate_limited')
          assert.ok(error.details.retry_after_seconds > 0)
          order.push('refused')
        },
      ),
    ),
  )
  assert.equal(answers.length, 100)
  assert.deepEqual(order, [...Array(68).fill('refused'), ...Array(32).fill('answered')])
  assert.equal(await passwords.verify('x', cheap), false)
})
