import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ipv4Number, networkSettings } from './network-settings.ts'

test('network settings are read, with defaults for unset ones', () => {
  const buildSubnets = { first: ipv4Number('198.18.0.0'), bits: 16 }
  assert.deepEqual(networkSettings({}), {
    name: 'bot_runner_network',
    guard: 'iptables',
    allow: [],
    buildSubnets,
  })
  assert.deepEqual(
    networkSettings({
      DOCKER_NETWORK: 'bots.1',
      ERRAND_BOT_NETWORK_GUARD: 'external',
      ERRAND_BUILD_SUBNETS: '10.213.64.0/20',
      ERRAND_BOT_ALLOW: ' db.internal:5432, 10.0.0.7:80 ,',
    }),
    {
      name: 'bots.1',
      guard: 'external',
      allow: [
        { host: 'db.internal', port: 5432 },
        { host: '10.0.0.7', port: 80 },
      ],
      buildSubnets: { first: ipv4Number('10.213.64.0'), bits: 20 },
    },
  )
})

test('an invalid setting is refused with its name and value', () => {
  const refused = [
    { DOCKER_NETWORK: 'host' },
    { DOCKER_NETWORK: '-x' },
    { ERRAND_BOT_NETWORK_GUARD: 'none' },
    ...['10.0.0.0', '10.0.0.0/29', '10.0.0.0/7', '10.0.1.0/16', 'x/16', '10.0.0.0/16/2'].map((text) => ({
      ERRAND_BUILD_SUBNETS: text,
    })),
    ...['db', 'db:', ':80', 'db:0', 'db:65536', '10.0.0:80', '-x:80', '10.0.0.0/8:80', 'a b:1'].map(
      (text) => ({
        ERRAND_BOT_ALLOW: text,
      }),
    ),
  ]
  for (const env of refused) {
    const [[name, value]] = Object.entries(env) as [[string, string]]
    assert.throws(
      () => networkSettings(env),
      (error: Error & { code: string }) =>
        error.code === 'invalid_argument' &&
        error.message.includes(name) &&
        error.message.includes(`"${value}"`),
      `${name}=${value}`,
    )
  }
})
