"""Crawls a site for its pictures, by Scrapy. What is to be fetched is kept on disk, so that a crawl can be resumed."""
