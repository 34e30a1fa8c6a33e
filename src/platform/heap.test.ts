import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { Heap } from './heap.ts'

test('the first entry is the smallest after any adds, moves and removals', () => {
  const step = fc.record({
    what: fc.constantFrom('add', 'move', 'delete', 'shift'),
    which: fc.nat(),
    rank: fc.nat(20),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const heap = new Heap<{ rank: number }>((a, b) => a.rank < b.rank)
      const known: { rank: number }[] = []
      for (const { what, which, rank } of steps) {
        const at = which % (known.length || 1)
        const item = known[at]
        if (what === 'add') {
          known.push({ rank })
          heap.add(known.at(-1)!)
        } else if (item === undefined) continue
        else if (what === 'move') {
          item.rank = rank
          heap.moved(item)
        } else {
          const out = what === 'shift' ? heap.first! : item
          assert.equal(heap.delete(out), true)
          assert.equal(heap.delete(out), false)
          known.splice(known.indexOf(out), 1)
        }
        assert.equal(heap.size, known.length)
        assert.deepEqual(new Set(heap), new Set(known))
        assert.equal(
          heap.first?.rank,
          known.length === 0 ? undefined : Math.min(...known.map((each) => each.rank)),
        )
      }
    }),
  )
})
