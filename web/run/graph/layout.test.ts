import assert from 'node:assert/strict'
import { test } from 'node:test'
import { layoutOf } from './layout.ts'

const node = (id: string, needs: string[] = [], quiet = true) => ({ id, needs, quiet })

test('a step comes after everything that it needs, and parallel steps have their own rows', () => {
  const { nodes, columns, rows } = layoutOf([
    node('checkout'),
    node('build', ['checkout']),
    node('migrate', ['checkout']),
    node('smoke', ['build', 'migrate']),
    node('ship', ['smoke', 'checkout']),
  ])
  const at = new Map(nodes.map(({ id, column, row }) => [id, { column, row }]))
  assert.deepEqual(
    [...at].map(([id, { column }]) => [id, column]),
    [
      ['checkout', 0],
      ['build', 1],
      ['migrate', 1],
      ['smoke', 2],
      ['ship', 3],
    ],
  )
  assert.equal(columns, 4)
  assert.ok(rows >= 2)
  assert.ok(Math.abs(at.get('build')!.row - at.get('migrate')!.row) >= 1)
})

test('a long chain is folded around steps that need attention, and opens on demand', () => {
  const chain = Array.from({ length: 100 }, (_, at) =>
    node(`s${at}`, at === 0 ? [] : [`s${at - 1}`], at !== 60),
  )
  const { nodes } = layoutOf(chain)
  assert.deepEqual(
    nodes.map(({ id, members, column }) => [id, members.length, column]),
    [
      ['s0', 60, 0],
      ['s60', 1, 1],
      ['s61', 39, 2],
    ],
  )
  assert.equal(layoutOf(chain, new Set(nodes[2]!.members)).nodes.length, 41)
})

test('parallel chains with the same ends become one node, and no step is lost', () => {
  const wide = Array.from({ length: 300 }, (_, at) => [
    node(`a${at}`, ['begin']),
    node(`b${at}`, [`a${at}`], at !== 7),
  ]).flat()
  const { nodes } = layoutOf([
    node('begin'),
    ...wide,
    node(
      'end',
      wide.filter((_, at) => at % 2 === 1).map(({ id }) => id),
    ),
  ])
  assert.equal(nodes.flatMap(({ members }) => members).length, 602)
  assert.ok(nodes.length <= 6, JSON.stringify(nodes.map(({ id }) => id)))
  assert.equal(new Set(nodes.map(({ column, row }) => `${column} ${row}`)).size, nodes.length)
})

test('a cycle and unknown needs still give a picture', () => {
  assert.equal(layoutOf([node('a', ['b']), node('b', ['a']), node('c', ['nobody'])]).nodes.length, 3)
})
