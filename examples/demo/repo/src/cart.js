/** The total of a cart in cents: quantities times prices, less the discount in per cent. */
export function total(items, discount = 0) {
  let sum = 0;
  for (const item of items) sum += item.price;
  return Math.round(sum * (1 - discount / 100));
}
