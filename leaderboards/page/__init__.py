"""The board as one HTML file that opens without a network: `page.write_page`."""
