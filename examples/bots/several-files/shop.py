class Shop:
    def __init__(self, stock):
        self.stock = dict(stock)

    def listed(self):
        return ", ".join(f"{count} x {name}" for name, count in self.stock.items())

    def sold(self, name):
        if self.stock.get(name, 0) == 0:
            return f"there is no {name or 'thing without a name'}"
        self.stock[name] -= 1
        return f"here is your {name}"
