/**
 * The same items, and `end` called once no more will come. It is called at once when no more are wanted, even in the middle of a
 * wait for the next one, which it had better bring to an end: a generator hears of that only between two items.
 */
export function endingWith<Item>(items: AsyncGenerator<Item>, end: () => void): AsyncGenerator<Item> {
  const all = untilEnd(items, end);
  const stop = all.return.bind(all);
  return Object.assign(all, {
    return: (value: unknown) => {
      end();
      // One that nobody has asked for an item passes nothing on.
      void items.return(undefined);
      return stop(value);
    },
  });
}

async function* untilEnd<Item>(items: AsyncGenerator<Item>, end: () => void): AsyncGenerator<Item> {
  try {
    yield* items;
  } finally {
    end();
  }
}
