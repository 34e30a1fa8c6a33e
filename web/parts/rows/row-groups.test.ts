import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Grouping, groupRows, MOST_ROWS, type RowPlaces, windowOf } from './row-groups.ts'

interface Row {
  id: string
  created_at: string
  open: boolean
}
const row = (id: string, open = false): Row => ({ id, created_at: `2026-01-${id}`, open })
const grouping: Grouping<Row> = {
  id: ({ id }) => id,
  group: ({ id, open }) => (open ? 'Going on' : `day ${id[0]}`),
  first: ['Going on'],
}
const places = (newest = ''): RowPlaces => ({ newest, groups: new Map() })
const shown = (groups: ReadonlyMap<string, Row[]>) =>
  [...groups].map(([name, rows]) => `${name}: ${rows.map(({ id }) => id).join(' ')}`)

test('running rows come first, ended rows are in the group of their day, and each row appears once', () => {
  const rows = [row('21', true), row('02', true), row('22'), row('12'), row('22'), row('03')]
  assert.deepEqual(shown(groupRows(rows, places(), false, grouping).groups), [
    'Going on: 21 02',
    'day 2: 22',
    'day 1: 12',
    'day 0: 03',
  ])
})

test('a row that ends moves to its place in its day, but stays where it was while rows are held', () => {
  const before = [row('21', true), row('02', true), row('22'), row('03')]
  const after = [row('21'), ...before.slice(1)]
  const held = places('2026-01-22')
  groupRows(before, held, true, grouping)
  assert.deepEqual(shown(groupRows(after, held, true, grouping).groups), [
    'Going on: 21 02',
    'day 2: 22',
    'day 0: 03',
  ])
  assert.deepEqual(shown(groupRows(after, places(), false, grouping).groups), [
    'Going on: 02',
    'day 2: 22 21',
    'day 0: 03',
  ])
})

test('newer rows wait while rows are held, and older ones that load meanwhile appear in their groups', () => {
  const held = places('2026-01-22')
  const { groups, waiting } = groupRows([row('23', true), row('22'), row('04')], held, true, grouping)
  assert.equal(waiting, 1)
  assert.deepEqual(shown(groups), ['day 2: 22', 'day 0: 04'])
})

test('rows with their own order keep it', () => {
  const sorted = { ...grouping, group: () => 'All that match', first: [], isSorted: true }
  const { groups } = groupRows([row('02'), row('22', true), row('12')], places(), false, sorted)
  assert.deepEqual(shown(groups), ['All that match: 02 22 12'])
})

test('the number of rows on the page is limited, across groups', () => {
  const some = (count: number) => Array.from({ length: count }, (_, n) => row(String(n)))
  const groups = new Map([
    ['a', some(120)],
    ['b', some(400)],
  ])
  const sizes = (from: number) => windowOf(groups, from).map(([name, rows]) => `${name} ${rows.length}`)
  assert.deepEqual(sizes(0), ['a 120', `b ${MOST_ROWS - 120}`])
  assert.deepEqual(sizes(100), ['a 20', 'b 280'])
  assert.deepEqual(sizes(220), ['b 300'])
})
