import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseJson, toJson } from '../../src/spidra/json.js'

/** Any UTF-16 code unit, including lone surrogates and NUL. */
const anyUnit = fc.nat(0xffff).map((code) => String.fromCharCode(code))

describe('a number', () => {
  test.each([
    '12345678901234567890',
    '-12345678901234567890',
    '9007199254740993',
    '0.1234567890123456789',
    '123456789.1234567',
    '1e400',
    '-1E+400',
    '1e-400',
    '1.7976931348623157e309',
    '4e-324',
    '1.5e400',
  ])('that a double may not hold exactly keeps its text: %s', (digits) => {
    for (const text of [digits, `[${digits}]`, `{"a":${digits}}`, `{"a":[1,{"b":${digits}}]}`]) {
      expect(toJson(parseJson(text))).toBe(text)
      expect(toJson(parseJson(text.replace(/([:[,])/g, '$1 \n\t')))).toBe(text)
    }
  })

  test.each([
    ['0', 0],
    ['-1.5', -1.5],
    ['2147483648', 2_147_483_648],
    ['123456789012345', 123_456_789_012_345],
    ['1e2', 100],
    ['1.5E+3', 1500],
    ['0e0', 0],
    ['0.0000000000000000', 0],
  ])('that a double holds exactly is a number: %s', (text, value) => {
    expect(parseJson(text)).toBe(value)
    expect(parseJson(`{"a":[${text},1e400]}`)).toHaveProperty('a.0', value)
  })
})

test('numbers in strings and in names stay texts', () => {
  const value = { '1e400': ': 12345678901234567890', a: '\\', b: '",1e400,"' }

  expect(parseJson(JSON.stringify(value))).toEqual(value)
  expect(parseJson(`[${JSON.stringify(value)},1e400]`)).toHaveProperty('0', value)
})

test('the last value counts if a name is given twice', () => {
  expect(parseJson('{"a":1,"b":2,"a":3}')).toEqual({ a: 3, b: 2 })
  expect(toJson(parseJson('{"a":{"c":1e400},"b":2,"a":1e401}'))).toBe('{"a":1e401,"b":2}')
})

test('__proto__ is a field like any other', () => {
  for (const text of ['{"__proto__":{"a":1},"b":2}', '{"__proto__":{"a":1e400},"b":2}']) {
    const value = parseJson(text)
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
    expect(toJson(value)).toBe(text)
  }
})

test('NUL and lone surrogates are written as escapes', () => {
  const text = '{"a\\u0000":"\\ud800","b":"\\udc00é😀"}'

  expect(toJson(parseJson(text))).toBe(text)
})

test.each([
  '',
  '{',
  '[1,]',
  '{"a":}',
  '{a:1}',
  "['a']",
  '01',
  '1e',
  '.5',
  'NaN',
  '"\n"',
  '"\\x"',
  '[1e400',
  '1e400 1',
  '1e400.5',
  '-+1e400',
  '{1e400:1}',
  '"1e400',
  '[1e400"]',
])('refuses what is not JSON: %s', (text) => {
  expect(() => parseJson(text)).toThrow(SyntaxError)
})

test('nesting may be deeper than the stack', () => {
  const depth = 20_000
  for (const innermost of ['1', '12345678901234567890']) {
    for (const text of [
      '['.repeat(depth) + innermost + ']'.repeat(depth),
      '{"a":'.repeat(depth) + innermost + '}'.repeat(depth),
    ]) {
      expect(toJson(parseJson(text)) === text).toBe(true)
    }
  }
})

test('a text of many megabytes is read exactly', () => {
  const long = 'a\\"'.repeat(1_000_000)

  expect(toJson(parseJson(`{"a":"${long}","b":1e400}`)) === `{"a":"${long}","b":1e400}`).toBe(true)
})

test('a value without JSON form is written as null', () => {
  expect(toJson(undefined)).toBe('null')
})

test('reads and writes what JSON.parse and JSON.stringify do', () => {
  fc.assert(
    fc.property(
      fc.jsonValue({ stringUnit: anyUnit }).map((value) => JSON.stringify(value)),
      (text) => {
        const expected = JSON.parse(text)
        expect(JSON.parse(toJson(parseJson(text)))).toEqual(expected)
        expect(toJson(expected)).toBe(JSON.stringify(expected))
        // Next to a number that needs the exact parser, the rest must be read as the fast parser reads it.
        expect(toJson(parseJson(`[${text},1e400]`))).toBe(`[${toJson(parseJson(text))},1e400]`)
      },
    ),
  )
})

test('accepts exactly what JSON.parse accepts', () => {
  const scrap = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '"a"',
    '1',
    '1e400',
    '-',
    '.5',
    'null',
    '\\',
    ' ',
    '12345678901234567890',
  )
  fc.assert(
    fc.property(fc.array(scrap, { maxLength: 8 }), (scraps) => {
      const text = scraps.join('')
      expect(isAccepted(parseJson, text)).toBe(isAccepted(JSON.parse, text))
    }),
    { numRuns: 1000 },
  )
})

function isAccepted(parse: (text: string) => unknown, text: string): boolean {
  try {
    parse(text)
    return true
  } catch {
    return false
  }
}
