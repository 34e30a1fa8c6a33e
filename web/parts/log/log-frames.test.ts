import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Frame, Frames, frameOf } from './log-frames.ts'
import { RowOffsets } from './row-offsets.ts'

const at = (line: number, total = 10_000) => frameOf(new RowOffsets(20), total, (line - 1) * 20, 200)

test('a frame has the visible lines and some more, and their position', () => {
  const { numbers, inView, offset } = frameOf(new RowOffsets(20, [[102, 105]]), 10_000, 100 * 20 - 5, 100)
  assert.deepEqual(inView, [100, 101, 106, 107, 108, 109])
  assert.deepEqual([numbers[0], numbers.at(-1)], [92, 117])
  assert.equal(offset, 91 * 20 - (100 * 20 - 5))
  assert.deepEqual(frameOf(new RowOffsets(20), 0, 0, 100), { numbers: [], inView: [], offset: 0 })
})

test('the last frame with text stays until lines of another arrive', () => {
  const frames = new Frames()
  const here = new Set<number>()
  const isHere = (number: number) => here.has(number)
  const load = ({ numbers }: Frame) => {
    for (const number of numbers) here.add(number)
  }
  const [first, second, third] = [at(1), at(3000), at(6000)]
  // There is no other frame to show.
  assert.equal(frames.choose(first, isHere), first)
  load(first)
  assert.equal(frames.choose(first, isHere), first)
  assert.equal(frames.choose(second, isHere), first)
  assert.equal(frames.requestedLines, second.numbers)
  // A view that keeps moving waits for the frame requested first, and then shows it.
  assert.equal(frames.choose(third, isHere), first)
  assert.equal(frames.requestedLines, second.numbers)
  load(second)
  assert.equal(frames.choose(third, isHere), second)
  assert.equal(frames.requestedLines, third.numbers)
  load(third)
  assert.equal(frames.choose(third, isHere), third)
  // A frame whose lines are here is shown at once.
  assert.equal(frames.choose(first, isHere), first)
  assert.equal(frames.requestedLines, first.numbers)
})
