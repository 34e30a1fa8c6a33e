import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shippedAgents } from '../../../contract/actions.ts'
import { knownAgents } from './known-agents.ts'

test('the agents documented as shipped are in the registry', async () => {
  const known = await knownAgents()
  assert.deepEqual(
    shippedAgents.filter((name) => !known.includes(name)),
    [],
  )
})
