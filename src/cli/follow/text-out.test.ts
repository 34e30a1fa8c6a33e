import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import test, { type TestContext } from 'node:test'
import { TextOut } from './text-out.ts'

function out(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let written = ''
  const stream = new Writable({
    write(bytes, _encoding, done) {
      written += bytes
      done()
    },
  })
  const taken = (): string => {
    const text = written
    written = ''
    return text
  }
  return { text: new TextOut(stream), taken, second: () => t.mock.timers.tick(1000) }
}

test('the next text or a newer live line removes a live line', async (t) => {
  const { text, taken } = out(t)
  text.live('one')
  text.live('one')
  assert.equal(taken(), '\x1b[?7lone\x1b[?7h')
  text.live('two')
  assert.equal(taken(), '\r\x1b[K\x1b[?7ltwo\x1b[?7h')
  await text.write('a line\n')
  await text.write('another\n')
  assert.equal(taken(), '\r\x1b[Ka line\nanother\n')
  text.live('three')
  text.live('')
  text.live('')
  assert.equal(taken(), '\x1b[?7lthree\x1b[?7h\r\x1b[K')
})

test('each second a terminal shows what runs, in a line that pauses while a question is open there', (t) => {
  const { text, taken, second } = out(t)
  let isPaused = false
  let requests = 0
  const what = { due: () => 'a line\n', live: () => `live ${++requests}` }
  const stop = text.meanwhile(what, { isLive: true, isPaused: () => isPaused })
  second()
  assert.match(taken(), /live 1/)
  isPaused = true
  second()
  second()
  assert.equal(taken(), '\r\x1b[K')
  isPaused = false
  second()
  assert.match(taken(), /live 2/)
  stop()
  stop()
  assert.equal(taken(), '\r\x1b[K')
  second()
  assert.equal(taken(), '')
})

test('an output that is not a terminal gets the lines that are due, without control sequences', (t) => {
  const { text, taken, second } = out(t)
  const due = ['', '… still running\n', '']
  const stop = text.meanwhile(
    { due: () => due.shift()!, live: () => 'x' },
    { isLive: false, isPaused: () => false },
  )
  for (const writer of [...due]) {
    second()
    assert.equal(taken(), writer)
  }
  stop()
  assert.equal(taken(), '')
})
